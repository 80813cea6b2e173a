"""Families and studies in a user's folder: trained, identified by what they compute, and told in words when wrong."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.core.config import Config, GlyphsConfig, RecipeConfig, RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import Axes, Variant, from_json, to_json
from ablations.core.signals import Stopped
from ablations.store.sources import bring_sources, keep_difference, keep_source
from ablations.sweep import hydra_app
from ablations.sweep.new_study import create
from ablations.sweep.own_code import identified
from ablations.sweep.plan import Planned
from ablations.sweep.resolve import to_run
from ablations.training.checkpoint import weights_digest
from ablations.training.trainer import TrainingEntry, train_together
from ablations.verification.behaviour import behaviours, measure
from model.family import load
from tests.make import run, splits
from tests.sweeps import ROOT, execute, finished

NET = """
from dataclasses import dataclass
from model.family import Input

@dataclass(frozen=True)
class Axes:
    depth: int = 1
    scale: float = 1.0

def build(axes: Axes, given: Input):
    from torch import nn
    layers = [nn.Conv2d(given.channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    for _ in range(axes.depth - 1):
        layers += [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, given.classes))
"""
STUDY = """
# @package _global_
study: deep
family: mine.net
hydra: {sweeper: {params: {model.depth: "1,2"}}}
table: {title: Depth, rows: [model.depth], columns: []}
"""
GIVEN = (4, 1, 8, "stride2")


def folder(tmp_path: Path, net: str = NET, study: str = STUDY) -> Path:
    mine = tmp_path / "mine"
    (mine / "ablation").mkdir(parents=True, exist_ok=True)
    (mine / "net.py").write_text(net)
    (mine / "ablation" / "deep.yaml").write_text(study.lstrip())
    return mine


def behaviour(mine: Path, **axes):
    return measure("mine.net", axes, GIVEN, mine)


@pytest.fixture(autouse=True)
def forgotten():
    """Another test's folder of this name is not this one's."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """A folder elsewhere whose network differs."""
    assert old in NET
    return folder(tmp_path / str(abs(hash((old, new)))), NET.replace(old, new))


def test_a_comment_changes_no_behaviour_and_maths_do(tmp_path):
    before = behaviour(folder(tmp_path))
    assert set(before) == {"behaviour"} and len(before["behaviour"]) == 16
    assert behaviour(changed(tmp_path, "    layers =", "    # why\n    layers =")) == before
    for old, new in (
        ("nn.ReLU()]\n    for", "nn.SiLU()]\n    for"),
        ("padding=1), nn.B", "padding=1, bias=False), nn.B"),
    ):
        assert behaviour(changed(tmp_path, old, new)) != before, new
    assert behaviour(changed(tmp_path, "nn.AdaptiveAvgPool2d(1)", "nn.AdaptiveMaxPool2d(1)")) != before
    assert behaviour(folder(tmp_path), depth=2) != before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("depth - 1)", "depth - 1 + (build.calls.append(1) or len(build.calls)))", "computes differently twice"),
        ("given.classes))", "7))", "its output for 4 images is (4, 7), and must be (images, classes), (4, 4)"),
        ("    from torch import nn\n", "    return 3\n", "must return a torch.nn.Module, and gave int"),
        ("    from torch import nn\n", "    from torch import nn\n    1 / 0\n", "ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_identified_are_refused_with_a_sentence(tmp_path, old, new, said):
    mine = changed(tmp_path, old, new)
    (mine / "net.py").write_text((mine / "net.py").read_text() + "\nbuild.calls = []\n")
    assert said in behaviour(mine)["error"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def build", "def construct", "needs a function build"),
        ("@dataclass(frozen=True)\n", "", "needs Axes, a dataclass"),
        ("@dataclass(frozen=True)", "@dataclass", "must be a dataclass(frozen=True)"),
        ("depth: int = 1\n    scale: float = 1.0", "depth: int", "depth in .* needs a default"),
        ("depth: int = 1", "depth: list = ()", "depth in .* must be a bool, an int, a float or a str"),
        ("from dataclasses import dataclass", "import no_such_module", "cannot be imported .ModuleNotFoundError"),
    ],
)
def test_modules_that_are_no_families_are_refused_with_a_sentence(tmp_path, old, new, said):
    with pytest.raises(LookupError, match=said.replace("(", r"\(").replace(")", r"\)")):
        load("mine.net", [changed(tmp_path, old, new)])


def test_a_family_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(LookupError, match=r"no folder 'mine' was given with --config-dir"):
        load("mine.net")
    with pytest.raises(LookupError, match=r"there is no .*/mine/other\.py"):
        load("mine.other", [folder(tmp_path)])
    with pytest.raises(LookupError, match="Did you mean resnet"):
        load("reznet")
    torch = tmp_path / "torch"
    torch.mkdir()
    (torch / "net.py").write_text(NET)
    with pytest.raises(LookupError, match="has the name of the module torch"):
        load("torch.net", [torch])


def test_behaviours_are_kept_by_the_digest_of_the_source(tmp_path, monkeypatch):
    results = tmp_path / "results"
    (results / "runs").mkdir(parents=True)
    one = run()
    one = from_json({**json.loads(json.dumps(to_json(one))), "variant": {"structure": "mine.net", "depth": 1}})
    mine = folder(tmp_path)
    source = keep_source(mine, results)
    assert source == results / "sources" / source.parent.name / "mine" and keep_source(mine, results) == source
    found = behaviours([one, one], source, "code")
    assert found == behaviours([one], source, "code") * 2
    monkeypatch.setattr("ablations.verification.behaviour.run_module_json", None)
    assert behaviours([one], source, "code") == found[:1], "not measured again"
    (mine / "net.py").write_text(NET + "# changed\n")
    assert keep_source(mine, results) != source and (source / "net.py").read_text() == NET


def test_a_version_identifies_a_family_in_place_of_what_it_computes(tmp_path, monkeypatch):
    """Also one that computes differently twice: nothing is measured. Without one, the behaviour is still to come."""
    monkeypatch.setattr("ablations.sweep.own_code.behaviours", lambda runs, *_: ["measured"] * len(runs))
    data = GlyphsConfig(name="glyphs", resolution=24, cache_resolution=24, train_images=40, test_images=20)
    recipe = RecipeConfig(name="r", epochs=1, batch_size=8, lr=0.1, weight_decay=0.0)
    runtime = RuntimeConfig(results_dir=str(tmp_path / "results"))
    config = Config(model={"structure": "mine.net", "stem": "stride2"}, data=data, recipe=recipe, runtime=runtime)

    def identity(where, old="", new="", version=""):
        mine = folder(tmp_path / where, NET.replace(old, new) + version)
        job = Planned(to_run(config, folders=(mine,)), config, ())
        (one,) = identified([job], (mine,))
        return one.run.run_id, one.run.variant.behaviour

    first = identity("a", version="VERSION = 1")
    assert first[1] == "1" and identity("b", "nn.ReLU()]", "nn.SiLU()]", "VERSION = 1") == first
    assert identity("c", version="VERSION = 2")[0] != first[0] and identity("d")[1] == "measured"


def test_an_own_network_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(tmp_path):
    one, folders = replace(run(), variant=Variant("mine.net", Axes(depth=2), "0" * 16)), (folder(tmp_path),)
    data, path, asked = splits(one.protocol.data), tmp_path / "checkpoint.pt", []

    def trained(entry):
        ((_, outcome),) = train_together([entry], data)
        return outcome

    def after_three_steps():
        asked.append(1)
        return len(asked) > 3

    whole = trained(TrainingEntry(one, folders=folders))
    assert isinstance(trained(TrainingEntry(one, path, stop=after_three_steps, folders=folders)), Stopped)
    assert path.exists()
    rest = trained(TrainingEntry(one, path, folders=folders))
    assert weights_digest(rest.model) == weights_digest(whole.model)


def test_sources_are_brought_along_where_they_are_what_their_name_says(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for results in (ours, theirs):
        (results / "runs").mkdir(parents=True)
    kept, forged = keep_source(folder(tmp_path), theirs).parent, theirs / "sources" / ("0" * 16)
    keep_difference("- a\n+ b", theirs)
    shutil.copytree(kept, forged)
    (difference,) = theirs.glob("sources/*.diff")
    (theirs / "sources" / f"{'1' * 16}.diff").write_text("forged")
    assert bring_sources(theirs, ours) == 2 and bring_sources(theirs, ours) == 0
    assert {path.name for path in (ours / "sources").iterdir()} == {kept.name, difference.name}
    assert (ours / "sources" / kept.name / "mine" / "net.py").read_text() == NET


def test_a_study_of_an_own_family_is_trained_and_goes_on_where_it_stopped(tmp_path):
    mine, results = folder(tmp_path), tmp_path / "results"
    done = _sweep(results, mine)
    assert done.returncode == 0, done.stderr
    plan = json.loads(next((results / "plans").glob("deep-*.json")).read_text())
    assert [entry["variant"]["depth"] for entry in plan["runs"]] == [1, 2]
    assert plan["definition"]["defaults"]["model.depth"] == 1 and plan["definition"]["table"]["rows"] == ["model.depth"]
    origin = json.loads(next(results.glob("runs/*/provenance.json")).read_text())
    assert (results / "sources" / origin["source"] / "mine" / "net.py").read_text() == NET
    (mine / "net.py").write_text(NET + "# a comment\n")
    assert "0 to train" in _sweep(results, mine).stdout
    (mine / "net.py").write_text(NET.replace("nn.ReLU()]\n    for", "nn.SiLU()]\n    for"))
    assert "2 to train" in _sweep(results, mine).stdout


def _sweep(results: Path, mine: Path, *more: str, study: str = "deep"):
    words = [
        *(sys.executable, "-m", "ablations", "-m", f"--config-dir={mine}", f"ablation={study}", "preset=smoke"),
        *("seed=0", "data.train_images=64", "data.test_images=32", "runtime.progress=plain", "runtime.publish=false"),
        *(f"runtime.results_dir={results}", f"data.cache_dir={results.parent / 'cache'}", *more),
    ]  # fmt: skip
    return execute(words, results.parent, timeout=300)


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (STUDY.replace("model.depth:", "model.deep:"), "model.deep is no axis of mine.net: did you mean depth?"),
        (
            STUDY.replace("study: deep", "study: groups"),
            "ablation=deep says study: groups, which is another",
        ),
        (STUDY.replace("rows: [model.depth]", "rows: [model.dept]"), "table.rows of the study deep names model.dept"),
        (STUDY.replace("rows:", "raws:"), "ablation=deep: table has no key raws: did you mean rows?"),
        (STUDY + "seed: 3\n", "ablation=deep: seed: 3 at the top of the file is that of a single run"),
        (STUDY.replace('1,2"', '1,2", seeds: "2..3"'), "seeds has no effect in hydra.sweeper.params; write it at the"),
        (STUDY + "exlude: []\n", "error: ablation/deep.yaml: There is no key exlude: did you mean exclude?"),
        (
            STUDY + "seed: 0,1\n",
            "ablation/deep.yaml: seed: Value '0,1' of type 'str' could not be converted to Integer",
        ),
        (STUDY.replace("# @package _global_", ""), "ablation/deep.yaml must begin with the line `# @package _global_`"),
    ],
)
def test_studies_that_are_wrong_are_refused_before_anything_trains(tmp_path, study, said):
    with pytest.raises(Exception) as error:
        hydra_app.compose(["ablation=deep", "preset=smoke"], folder(tmp_path, study=study))
    assert said in f"error: {hydra_app.error_in_words(error.value)}"


def test_a_seed_that_is_said_in_full_is_taken(tmp_path):
    for more in ("seed: 3\nseeds: {first: 2, most: 3}\n", "seed: 3\n"):
        mine = folder(tmp_path, study=STUDY + more)
        given = [] if "seeds" in more else ["seed=4,5"]
        assert len(hydra_app.compose(["ablation=deep", "preset=smoke", *given], mine)) in (4, 6)


def test_a_claim_about_what_the_file_cannot_give_is_refused_whatever_the_command_line_asks_for(tmp_path):
    claims = "claims: [{id: x, says: It helps., margin: 1, gain: {from: {depth: 1}, to: {depth: %d}}}]\n"
    part = ("model.depth=1", "runtime.publish=true")
    done = _sweep(tmp_path / "results", folder(tmp_path, study=STUDY + claims % 5), *part)
    assert done.returncode == 2 and not list((tmp_path / "results").glob("runs/*/"))
    said = "The claim x of deep is about depth 5, and no cell of the study has that: its depth is 1, 2."
    assert f"error: {said} Nothing was trained." in done.stderr
    done = _sweep(tmp_path / "results", folder(tmp_path, study=STUDY + claims % 2), *part)
    assert done.returncode == 0 and "not tested" in done.stdout, done.stderr


def test_code_that_results_name_is_not_imported(tmp_path):
    """Results of a stranger's: read, and nothing of them run."""
    flat = to_json(run())
    flat["variant"] = {"structure": "mine.net", "depth": 1, "behaviour": "0" * 16}
    mine = folder(tmp_path, "raise SystemExit('imported')")
    assert from_json(json.loads(json.dumps(flat))).variant.axes == {"depth": 1} and mine.is_dir()
    with pytest.raises(ValueError, match="structure"):
        from_json({**json.loads(json.dumps(flat)), "variant": {"depth": 1}})


@pytest.mark.parametrize(("name", "cells"), [("se", 4), ("width", 3), ("smoothing", 4)])
def test_the_examples_train(tmp_path, name, cells):
    mine, results = ROOT / "examples" / name, tmp_path / "results"
    whole = name == "se"  # the walk-through of docs/your-own-ablation.md: to its verdicts
    done = _sweep(results, mine, *(["runtime.publish=true"] if whole else []), study=name)
    assert done.returncode == 0, done.stderr
    assert len(finished(results)) == cells
    if whole:
        judged = json.loads((results / "claims.json").read_text())["claims"]
        assert [one["claim"] for one in judged] == ["se-helps-0.25x", "se-helps-0.5x"]
    assert sum(len(path.read_text().splitlines()) for path in mine.rglob("*.*") if path.is_file()) < 60


def test_a_new_study_runs_at_once(tmp_path):
    mine = tmp_path / "mine"
    assert [path.name for path in create("silu", mine)] == ["silu.yaml", "silu_claims.yaml", "silu.py"]
    done = _sweep(tmp_path / "results", mine, "model.width=0.25", study="silu")
    assert done.returncode == 0, done.stderr
    assert len(finished(tmp_path / "results")) == 2
    with pytest.raises(UserError, match="is there already"):
        create("silu", mine)
    with pytest.raises(UserError, match="is a study of this package"):
        create("groups", mine)
    with pytest.raises(UserError, match="cannot be imported"):
        create("two-words", mine)
