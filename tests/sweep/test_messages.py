"""Words that a user mistypes get a sentence with the nearest one."""

import sys

import pytest
from omegaconf import OmegaConf

from ablations.sweep import completion, messages
from ablations.sweep.hydra_app import compose
from ablations.sweep.plan import make_plan
from tests.sweeps import execute


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


def completed(line):
    done = execute([sys.executable, "-m", "ablations", "-sc", "query=bash"], COMP_LINE=f"ablations {line}")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_completion_offers_what_can_be_chosen():
    shown = completed("data=")
    assert {"data=cifar10", "data=glyphs"} <= set(shown) and not [word for word in shown if "schema" in word]
    assert completed("-m model.groups=") == [f"model.groups={value}" for value in (1, 2, 3, 4, 8)]


@pytest.mark.parametrize(
    "word,shown",
    [
        ("model.groups=1,2,", ["3", "4", "8"]),
        ("model.groups=8", ["8"]),
        ("model.shuffle=", ["false", "true"]),
        ("recipe.decay=", ["all", "matrices", "pointwise"]),
        ("runtime.progress=r", ["rich"]),
        ("logger.name=", ["mlflow", "none", "tensorboard", "wandb"]),
        ("runtime.fuse=", ["1", "auto"]),
        ("data.evaluate=t", ["test"]),
        ("recipe.lr=", ["0.3"]),
        ("no.such=", []),
    ],
)
def test_completion_offers_values(word, shown):
    recipe = {"lr": 0.3, "decay": "matrices"}
    config = OmegaConf.create({"model": {"groups": 3, "shuffle": True}, "recipe": recipe, "runtime": {"fuse": "auto"}})
    before = word.rpartition("," if "," in word else "=")[0]
    assert [one.removeprefix(before)[1:] for one in completion.matches(config, word)] == shown


def test_a_plan_of_one_run_and_a_look_at_one_claim_are_said_as_such(tmp_path, capsys):
    plan = make_plan(compose(["preset=smoke", "seed=0", "model.width=0.25"]), tmp_path)
    messages.show_plan(plan, tmp_path, 60.0, 1)
    messages.show_outcome(plan, [], tmp_path)
    look = {"look": 1, "looks": 3, "study": "se", "seeds": 2, "decided": 1, "open": 1, "needed": ["a"]}
    messages.show_looks([look, {**look, "decided": 0, "needed": ["a", "b"]}])
    said = capsys.readouterr().out
    assert "Plan: 1 run of 1 cell, 0 done, 1 to train, about 60 s on 1 worker.\n1 of 1 run done" in said
    assert "1 claim decided, 1 open; 1 cell gets more seeds." in said
    assert "0 claims decided, 1 open; 2 cells get more seeds." in said
