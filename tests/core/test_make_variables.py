"""Every text survives Hydra's grammar and OmegaConf's as the value of an override."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ablations.core.make_variables import OPTIONS, filled, option, quote
from ablations.core.paths import ROOT

PARSER = OverridesParser.create()
SPECIAL = st.text(" ab\\\"'${}[],=#;&~()*:%@!?|<>.\té1\n", min_size=1, max_size=10)


def arrives(text: str) -> str:
    override = PARSER.parse_override(f"data.dir={quote(text)}")
    assert not override.is_sweep_override()
    config = OmegaConf.create({"data": {"dir": ""}})
    OmegaConf.update(config, "data.dir", override.value())
    return config.data.dir


@settings(max_examples=300, deadline=None)
@given(st.one_of(SPECIAL, st.text(st.characters(exclude_categories=("Cs",)), min_size=1)))
def test_every_text_arrives_as_it_is(text):
    assert arrives(text) == ("./???" if text == "???" else text), "three question marks mean a missing value"


@pytest.mark.parametrize("text", ["null", "True", "1", ".1", "1e5", "nan", "a,b", "glob(*)", "${x}", "\\", 'a\\"b'])
def test_what_hydra_would_read_as_something_else_arrives_as_text(text):
    assert arrives(text) == text


@pytest.mark.parametrize("text", ["results", "/data/tiny-imagenet", "../a_b.c", "./x"])
def test_plain_names_stay_as_they_are(text):
    assert quote(text) == text


def test_variables_are_filled_in_and_all_other_words_stay():
    words = ["-m", "ablation=groups,shuffle", "a=$RESULTS/smoke", "preset=$PRESET", "--x=y", "b='$RESULTS'"]
    known = {"RESULTS": "my results", "PRESET": "quick"}
    assert filled(words, known) == [*words[:2], 'a="my results/smoke"', "preset=quick", *words[4:]]


def test_options_are_named_as_either_user_types_them():
    """Variables that make does not know, or hands to no such option, would be no help."""
    assert option("width") == "--width (make: WIDTH=)" and option("config-dir", "x").endswith("(make: CONFIG_DIR=x)")
    assert option("sd", "0.3") == '--sd 0.3 (make: ARGS="--sd 0.3")'
    makefile = (ROOT / "Makefile").read_text()
    for name in OPTIONS:
        assert f"--{name}" in makefile and f"$({name.upper().replace('-', '_')})" in makefile, name
