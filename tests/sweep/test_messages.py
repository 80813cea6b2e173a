"""Words that a user mistypes get a sentence with the nearest one."""

import subprocess
import sys

import pytest

from ablations.sweep import messages
from tests.sweeps import ROOT, environment


@pytest.mark.parametrize(
    "key,says",
    [
        ("recipe.epoch", "There is no key recipe.epoch: did you mean recipe.epochs?"),
        ("presets", "There is no key presets: did you mean preset?"),
        ("runtime.worker", "There is no key runtime.worker: did you mean runtime.workers?"),
        ("logger.foo", "There is no key logger.foo: there are logger.name, logger.tracking_uri, logger.experiment."),
    ],
)
def test_an_unknown_key_is_told_the_nearest(key, says):
    assert messages.unknown_key(f"Could not override '{key}'.\nTo append to your config use +{key}=3") == says


@pytest.mark.parametrize("text", ["Could not override 'recipe.lr'. Value 'a' is no float", "something else"])
def test_other_errors_keep_their_words(text):
    assert messages.unknown_key(text) == ""


def test_completion_offers_what_can_be_chosen():
    query = {**environment(), "COMP_LINE": "ablations data="}
    command = [sys.executable, "-m", "ablations", "-sc", "query=bash"]
    shown = subprocess.run(command, cwd=ROOT, env=query, capture_output=True, text=True, check=True).stdout.split()
    assert {"data=cifar10", "data=glyphs"} <= set(shown) and not [word for word in shown if "schema" in word]
