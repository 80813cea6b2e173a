"""claims.yaml: the paper's claims are all there, and whatever is malformed is refused with its line."""

import re
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.sweep import new_study
from analysis import paper
from analysis.claims.parser import CLAIMS, claims_of, read_claims
from analysis.runs.study import parse, study
from analysis.stats.contrast import Contrast
from tests.make import shufflenet_cell

GAIN = "gain: {from: {groups: 1, width: 0.5}, to: {groups: 8, width: 0.5}}"
GOOD = f"""\
# A comment.
- id: eight-help
  study: groups
  source: Table 2
  says: Eight groups help.
  {GAIN}
  margin: 0.5
  paper: 2.8
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "claims.yaml"
    path.write_text(text)
    return path


def swapped(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_the_papers_claims() -> None:
    claims = {claim.id: claim for claim in read_claims()}
    assert {f"{start}-{width:g}x" for width in paper.WIDTHS for start in ("some-groups-help", "eight-groups-help")} <= {
        *claims
    }
    shuffle = [claim for claim in claims.values() if claim.study == "shuffle"]
    assert [claim.paper for claim in shuffle[:6]] == [1.9, 5.2, 2.5, 5.8, 1.3, 3.8]
    assert len(claims) == 22 and all(claim.source and claim.says and claim.margin > 0 for claim in claims.values())
    joint = claims["shuffle-helps-everywhere"]
    assert joint.kind == "every" and len(joint.contrasts) == 6 and len(joint.refs) == 12
    assert "{" not in "".join(claim.says for claim in claims.values())


def test_every_test_is_the_contrast_it_says(tmp_path: Path) -> None:
    a, b, c = (shufflenet_cell(groups, 0.5) for groups in (1, 2, 3))
    tests = {
        "gain: {from: {groups: 1, width: 0.5}, to: {groups: 2, width: 0.5}}": [((a, 1), (b, -1))],
        # (a - b) - (b - c)
        "growth: {of: {from: {groups: 1, width: 0.5}, to: {groups: 2, width: 0.5}}, "
        "over: {from: {groups: 2, width: 0.5}, to: {groups: 3, width: 0.5}}}": [((a, 1), (b, -2), (c, 1))],
        # Least squares over -1, 0, 1: the slope is (c - a) / 2, the fall over two steps a - c.
        "trend: {groups: [1, 2, 3], width: 0.5}": [((a, 1), (c, -1))],
        "any: {from: {groups: 1, width: 0.5}, to: {groups: [2, 3], width: 0.5}}": [
            ((a, 1), (b, -1)),
            ((a, 1), (c, -1)),
        ],
        "order: {groups: [1, 2, 3], width: 0.5}": [((a, 1), (b, -1)), ((a, 1), (c, -1)), ((b, 1), (c, -1))],
        "weights: [{groups: 1, width: 0.5, weight: 2}, {groups: [2, 3], width: 0.5, weight: -2}]": [
            ((a, 2), (b, -1), (c, -1))
        ],
    }
    effects = (0.7, 0.7 - 1.2, 1.9, 1.9, 1.0, 2 * 45.1 - 44.4 - 43.2)
    for (test, terms), effect in zip(tests.items(), effects, strict=True):
        text = "\n".join(line for line in GOOD.splitlines() if "gain:" not in line and "paper:" not in line)
        (claim,) = read_claims(write(tmp_path, f"{text}\n  {test}\n  paper: {effect:.1f}\n"))
        assert list(claim.contrasts) == [Contrast(tuple(one)) for one in terms], test


def test_for_makes_a_claim_of_each_value(tmp_path: Path) -> None:
    text = (
        "- {id: helps, study: shuffle, source: Table 3, says: 'At {width} with {groups}.', margin: 1,\n"
        "   paper: [2.5, 5.8],\n"
        "   for: {width: [0.5], groups: [3, 8]}, gain: {from: {shuffle: false}, to: {}}}\n"
    )
    three, eight = read_claims(write(tmp_path, text))
    assert (three.id, three.says) == ("helps-0.5x-g3", "At 0.5x with 3.")
    assert eight.contrasts[0].refs == (shufflenet_cell(8, 0.5, False), shufflenet_cell(8, 0.5)) and eight.paper == 5.8


@pytest.mark.parametrize("says", ["At {width}.", "At {model.width}."])
@pytest.mark.parametrize("key", ["width", "model.width"])
def test_the_axes_of_for_may_be_written_either_way(says: str, key: str) -> None:
    """As the example of docs/your-own-ablation.md writes them; it was refused."""
    claim = {"id": "a", "says": says, "for": {key: [0.25]}, "trend": {"depth": [1, 2, 3]}, "margin": 1}
    axes = {"axes": ["model.width", "model.depth"], "defaults": {"model.structure": "mine.net"}}
    (found,) = claims_of(parse("mine", {**axes, "claims": [claim]}))
    assert (found.id, found.says) == ("a-0.25x", "At 0.25x.")


def test_an_order_of_equal_errors_is_refused() -> None:
    published = [{"cell": {"model.depth": depth}, "error": 30.0} for depth in (1, 2, 3)]
    claim = {"id": "a", "says": "It falls.", "order": {"depth": [1, 2, 3]}, "margin": 1}
    with pytest.raises(UserError, match=r"claim 1: order needs cells that the paper has .* and not one for all"):
        claims_of(parse("mine", {"axes": ["model.depth"], "published": published, "claims": [claim]}))


@pytest.mark.parametrize("name", ["se", "smoothing", "width", "silu"])
def test_the_claims_of_the_examples_and_of_a_new_study_can_be_read(tmp_path: Path, name: str) -> None:
    folder = ROOT / "examples" / name
    if name == "silu":
        new_study.create(name, folder := tmp_path / "mine")
    content = yaml.safe_load((folder / "ablation" / f"{name}.yaml").read_text())
    if isinstance(content["claims"], str):
        content["claims"] = yaml.safe_load((folder / "ablation" / content["claims"]).read_text())
    axes = {"axes": [*content["table"]["rows"], *content["table"]["columns"]]}
    defaults = {"defaults": {"model.structure": "x", "model.groups": 3}}
    found = claims_of(parse(name, {**content, **axes, **defaults}))
    assert found and "{" not in found[0].says


def test_one_group_has_one_cell(tmp_path: Path) -> None:
    text = swapped("from: {groups: 1, width: 0.5}", "from: {groups: 1, width: 0.5, shuffle: false}")
    assert read_claims(write(tmp_path, text))[0].refs[0] == shufflenet_cell(1, 0.5, True)


BAD = {
    "no list": ("id: x", 1, "a list of claims is needed"),
    "empty": ("", 1, "a list of claims is needed"),
    "no YAML": (GOOD + "- id: [", 9, "this is not YAML"),
    "tab": ("- id: x\n\tstudy: groups\n", 2, "this is not YAML"),
    "no mapping": ("- eight groups help\n", 1, "a claim is a mapping"),
    "unknown key": (swapped("margin:", "margn:"), 7, "margn is no key of a claim; did you mean margin?"),
    "twice": (GOOD + "  margin: 1\n", 9, "margin is given twice"),
    "missing": (swapped("  margin: 0.5\n", ""), 2, "margin is missing"),
    "same id": (GOOD + GOOD.replace("# A comment.\n", ""), 9, "eight-help stands in line 2 already"),
    "bad id": (swapped("id: eight-help", "id: ../x"), 2, "may have small letters"),
    "study": (swapped("study: groups", "study: width"), 3, "choose groups or shuffle"),
    "margin of 0": (swapped("margin: 0.5", "margin: 0"), 7, "must be a number above 0"),
    "margin of text": (swapped("margin: 0.5", "margin: wide"), 7, "must be a number above 0"),
    "no test": ("\n".join(line for line in GOOD.splitlines() if "gain" not in line), 2, "exactly one test is needed"),
    "two tests": (GOOD + "  trend: {groups: [1, 2, 3], width: 0.5}\n", 9, "exactly one test is needed"),
    "no cell": (swapped("to: {groups: 8, width: 0.5}", "to: 8"), 6, "a cell is a mapping"),
    "unknown field": (swapped("{groups: 8, width", "{group: 8, width"), 6, "group is not part of a cell"),
    "no width": (swapped("{groups: 8, width: 0.5}", "{groups: 8}"), 6, "has no width"),
    "groups": (swapped("groups: 8", "groups: 5"), 6, "groups 5 cannot be built"),
    "groups list in list": (swapped("groups: 8", "groups: [[8]]"), 6, "cannot be built"),
    "width": (swapped("to: {groups: 8, width: 0.5", "to: {groups: 8, width: -1"), 6, "must be a number above 0"),
    "shuffle": (swapped("to: {groups: 8,", "to: {groups: 8, shuffle: maybe,"), 6, "must be true or false"),
    "itself": (swapped("groups: 8", "groups: 1"), 6, "is compared with itself"),
    "several": (swapped("groups: 8", "groups: [2, 8]"), 6, "one gain is needed, this names 2"),
    "direction": (GOOD + "  direction: down\n", 9, "choose positive or not_positive"),
    "list": (GOOD + "  metric: [error]\n", 9, "metric ['error'] is unknown; choose error or top5_error or loss"),
    "paper": (swapped("paper: 2.8", "paper: 1.2"), 8, "is not what the paper's printed errors give, 2.80"),
    "paper of text": (swapped("paper: 2.8", "paper: much"), 8, "is not a number"),
    "paper that is no number": (swapped("paper: 2.8", "paper: .nan"), 8, "is not a number"),
    "key of a list": (GOOD + "  ? [a, b]\n  : c\n", 2, "the key in line 9 is not a word"),
    "two effects": (swapped("paper: 2.8", "paper: [2.8, 1]"), 8, "paper has 2 effects for 1 claims"),
    "for": (GOOD + "  for: {seed: [1]}\n", 9, "for takes width and groups"),
    "weights": (swapped(GAIN, "weights: [{groups: 1, width: 0.5, weight: 1}]"), 6, "must sum to 0"),
    "few for an order": (swapped(GAIN, "order: {groups: [1, 8], width: 0.5}"), 6, "needs three cells"),
    "placeholder": (
        swapped("says: Eight groups help.", "says: At {wdth} they help.\n  for: {width: [0.5]}"),
        5,
        "{wdth} stands for nothing; did you mean {width}?",
    ),
    "placeholder without a value": (swapped("Eight groups help.", "At {width} they help."), 5, "`for` gives no values"),
    "placeholder of another key": (
        swapped("says: Eight groups help.", "says: With {groups}.\n  for: {width: [0.5]}"),
        5,
        "{groups} stands for nothing; there are {width}.",
    ),
    "brace alone": (
        swapped("says: Eight groups help.", "says: At {width they help.\n  for: {width: [0.5]}"),
        5,
        "a brace has no partner",
    ),
    "python object": (swapped("says: Eight groups help.", "says: !!python/name:os.system"), 5, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_claim_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    text, line, sentence = BAD[name]
    with pytest.raises(UserError) as caught:
        read_claims(write(tmp_path, text))
    assert f"claims.yaml, line {line}: " in str(caught.value) and sentence in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_claims(tmp_path / "absent.yaml")


def test_the_paper_effects_are_the_papers() -> None:
    assert CLAIMS.is_file()
    for claim in read_claims():
        numbers = {}
        for ref in claim.refs:
            found = study(claim.study).paper(ref)
            assert found
            numbers[ref] = found.value
        effects = [contrast.of(numbers) for contrast in claim.contrasts]
        expected = {"any": max, "every": min, "order": lambda _: 1.0}.get(claim.kind, lambda e: e[0])(effects)
        assert claim.paper == pytest.approx(expected, abs=0.051)


VALUES = st.one_of(
    st.sampled_from(["null", "-1", "0", ".nan", ".inf", "1e999", "[]", "{}", "[[1]]", "{a: 1}", "true", "2026-01-01"]),
    st.sampled_from(
        ["!!python/object:os.system {}", "!!binary x", "*anchor", "&a [*a]", "'", "|", "? x", "\x00", "<<: x"]
    ),
    st.text(max_size=8),
)


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(how=st.sampled_from(["value", "line", "cut", "bytes"]), data=st.data())
def test_whatever_stands_in_the_file_gives_claims_or_a_sentence_with_a_line(how: str, data: st.DataObject) -> None:
    text = CLAIMS.read_text()
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("- id"))
    if how == "value":
        place = data.draw(st.integers(start, len(lines) - 1))
        scalars = list(re.finditer(r"[\w.]+(?=[,\]}\s]|$)", lines[place]))
        if scalars:
            found = data.draw(st.sampled_from(scalars))
            lines[place] = lines[place][: found.start()] + data.draw(VALUES) + lines[place][found.end() :]
    elif how == "line":
        del lines[data.draw(st.integers(start, len(lines) - 1))]
    text = "\n".join(lines)
    if how == "cut":
        text = text[: data.draw(st.integers(0, len(text)))]
    content = text.encode()
    if how == "bytes":
        place = data.draw(st.integers(0, len(content) - 1))
        content = content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims.yaml"
        path.write_bytes(content)
        try:
            assert all(claim.refs for claim in read_claims(path))
        except UserError as error:
            assert str(path) in str(error) and (
                "line" in str(error) or "cannot be read" in str(error) or "YAML" in str(error)
            )
