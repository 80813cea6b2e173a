"""Does the ablation ablate? Networks that are built wrong are caught before any training, with the cells named."""

import inspect
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn

import model
from ablations.core.errors import UserError
from ablations.training import checkpoint
from ablations.training.trainer import build_model
from ablations.verification import fingerprint, trace
from model import shufflenet_checks
from model.shufflenet import Unit, channel_shuffle
from tests.make import run
from tests.sweep.test_plan import GROUPS, SHUFFLE, planned
from tests.sweeps import ROOT, TINY, execute

STUDIES = list({job.run.cell_id: job.run for job in planned(GROUPS) + planned(SHUFFLE)}.values())
SMALL = [job.run for job in planned([(1, 0.25, True), (3, 0.25, True), (3, 0.25, False), (3, 0.5, True)])]


pytestmark = pytest.mark.usefixtures("one_thread")


def verify(runs, results, build=build_model):
    """In this process, of networks that `build` makes."""
    with (
        patch.object(trace, "build_model", lambda one, folders: build(one)),
        patch.object(fingerprint, "_measure", lambda missing, folders: [trace.fingerprint(one) for one in missing]),
    ):
        return fingerprint.verify(runs, results)


def built(one, **what):
    return build_model(replace(one, variant=one.variant.with_axes(**what)))


def test_both_studies_pass_and_are_not_measured_again(tmp_path, monkeypatch):
    found = fingerprint.verify(STUDIES, tmp_path)
    assert len({one.digest for one in found.values()}) == len(STUDIES) == 21
    kept = json.loads((tmp_path / "fingerprints.json").read_text())["cells"]
    one = next(
        r
        for r in STUDIES
        if r.variant.axes["groups"] == 3 and r.variant.axes["width"] == 1 and r.variant.axes["shuffle"]
    )
    assert kept[one.cell_id]["digest"] == found[one.cell_id].digest and kept[one.cell_id]["cell"] == "g3 1x"
    expected = "16 units, permutation of 60..240 channels; 1x1 convolutions: 1 with groups 1, 31 with groups 3"
    assert kept[one.cell_id]["summary"] == expected

    def never(runs, folders):
        raise AssertionError("measured again")

    monkeypatch.setattr(fingerprint, "_measure", never)
    assert fingerprint.verify(STUDIES, tmp_path) == found
    monkeypatch.setattr(fingerprint, "code_digest", lambda: "other sources, or another torch")
    with pytest.raises(AssertionError, match="measured again"):
        fingerprint.verify(STUDIES, tmp_path)


@pytest.mark.parametrize(
    "part",
    [
        *(model.build, build_model, Unit, channel_shuffle, checkpoint.weights_digest),
        *(fingerprint.complaints, trace.fingerprint, shufflenet_checks.faults),
    ],
)
def test_a_kept_fingerprint_depends_on_all_that_it_is_made_by(part):
    assert Path(inspect.getsourcefile(part)) in fingerprint._sources()


def test_sources_that_are_not_there_are_an_error(monkeypatch):
    """A file that moves must not drop out of what fingerprints depend on."""
    monkeypatch.setattr(fingerprint, "SOURCES", ("model/*.py", "ablations/trainer.py"))
    with pytest.raises(LookupError, match=r"names ablations/trainer\.py, but there is no such file"):
        fingerprint.code_digest()


def test_what_one_plan_verified_stays_when_another_is(tmp_path):
    verify(SMALL[:1], tmp_path)
    verify(SMALL[1:], tmp_path)
    assert json.loads((tmp_path / "fingerprints.json").read_text())["cells"].keys() == {r.cell_id for r in SMALL}


def test_verifying_does_not_import_torch_here(tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from ablations.verification import fingerprint; from tests.make import run;"
        f"fingerprint.verify([run(groups=3)], Path({str(tmp_path)!r})); sys.exit('torch' in sys.modules)"
    )
    assert execute([sys.executable, "-c", code]).returncode == 0
    assert (tmp_path / "fingerprints.json").exists()


def pointwise_ungrouped(one):
    """The channels of the groups asked for, but convolutions without groups."""
    network = build_model(one)
    for unit in [m for m in network.modules() if isinstance(m, Unit)]:
        unit.conv3 = nn.Conv2d(unit.conv3.in_channels, unit.conv3.out_channels, 1, bias=False)
    return network


def shuffled_late(one):
    """The shuffle behind the depthwise convolution."""
    network = built(one, shuffle=False)
    for unit in [m for m in network.modules() if isinstance(m, Unit)] if one.variant.axes["shuffle"] else []:
        unit.conv3.register_forward_pre_hook(lambda m, x, groups=unit.groups: (channel_shuffle(x[0], groups),))
    return network


def shuffled_alone(one):
    """A shuffle where one group leaves nothing to shuffle."""
    network = build_model(one)
    if one.variant.axes["groups"] == 1 and one.variant.axes["shuffle"]:
        network.stage2[1].conv2.register_forward_pre_hook(lambda m, x: (channel_shuffle(x[0], 3),))
    return network


def drawn_anew(one):
    """Other initial weights for the arm without shuffle."""
    return build_model(one) if one.variant.axes["shuffle"] else build_model(replace(one, seed=1))


def activated(one):
    """Another activation for the arm without shuffle."""
    network = build_model(one)
    for unit in [m for m in network.modules() if isinstance(m, Unit)] if not one.variant.axes["shuffle"] else []:
        unit.relu = nn.SiLU()
    return network


BROKEN = {
    "groups ignored": (
        lambda one: built(one, groups=1),
        [
            "g1 0.25x and g3 0.25x must differ, but are the same network",
            "g3 0.25x: groups of its 1x1 convolutions: 31 of",
        ],
    ),
    "groups of a convolution ignored": (pointwise_ungrouped, ["g3 0.5x: groups of its 1x1 convolutions: 16 of 32"]),
    "shuffle always on": (
        lambda one: built(one, shuffle=True),
        [
            "g3 0.25x no shuffle: its channel permutation is not the identity",
            "g3 0.25x and g3 0.25x no shuffle must differ, but are the same network",
        ],
    ),
    "shuffle always off": (
        lambda one: built(one, shuffle=False),
        ["g3 0.25x: its channel permutation is not the transposition", "g3 0.25x and g3 0.25x no shuffle must differ"],
    ),
    "shuffle behind the depthwise convolution": (
        shuffled_late,
        ["g3 0.25x: its channel permutation is not", "permuted after the depthwise convolution"],
    ),
    "shuffle of one group": (shuffled_alone, ["g1 0.25x: with shuffle off it is another network", "(unit 2)"]),
    "width ignored": (
        lambda one: built(one, width=0.5),
        ["g3 0.25x and g3 0.5x must differ, but are the same network", "g1 0.25x: input channels of its units"],
    ),
    "another width each": (
        lambda one: built(one, width=2 * one.variant.axes["width"]),
        ["g3 0.5x: input channels of its units: 15 of 16", "g1 0.25x: input channels"],
    ),
    "stem ignored": (lambda one: built(one, stem_channels=24), ["g3 0.5x: input channels of its units: 1 of 16"]),
    "weights of the arms": (
        drawn_anew,
        ["g3 0.25x and g3 0.25x no shuffle must differ in the permutation only, but also do in weights"],
    ),
    "activation of the arms": (activated, ["differ in the permutation only, but also do in operators"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_network_that_is_built_wrong_is_caught(tmp_path, name):
    build, sentences = BROKEN[name]
    with pytest.raises(UserError) as caught:
        verify(SMALL, tmp_path, build)
    for sentence in ["nothing was trained", *sentences]:
        assert sentence in str(caught.value)
    assert not (tmp_path / "fingerprints.json").exists(), "what failed is not kept as verified"


def test_the_inverse_of_the_shuffle_is_caught(tmp_path, monkeypatch):
    """(C/g, g) -> (g, C/g): as good a mixture of channels, but not the paper's."""
    monkeypatch.setattr("model.shufflenet.channel_shuffle", lambda x, g: channel_shuffle(x, x.shape[1] // g))
    with pytest.raises(UserError, match=r"g3 0\.25x: its channel permutation is not the transposition"):
        verify(SMALL, tmp_path)


def test_the_permutation_is_the_papers():
    assert shufflenet_checks.permutation(6, 3) == [0, 2, 4, 1, 3, 5]
    for channels, groups in ((6, 3), (24, 8), (240, 3), (5, 1)):
        x = torch.arange(channels).view(1, channels, 1, 1)
        assert channel_shuffle(x, groups).flatten().tolist() == shufflenet_checks.permutation(channels, groups)


def test_equal_networks_of_two_protocols_are_no_mistake(tmp_path):
    longer = [run(groups=3, recipe={"epochs": 3}), run(groups=3)]
    assert len({one.digest for one in verify(longer, tmp_path).values()}) == 1


@pytest.mark.parametrize("stem", ["imagenet", "stride2", "stride1"])
@pytest.mark.parametrize("structure", ["shufflenet", "blog"])
def test_every_structure_and_stem_can_be_verified(tmp_path, structure, stem):
    runs = [run(groups=2, shuffle=shuffle) for shuffle in (True, False)]
    runs = [replace(one, variant=replace(one.variant, structure=structure)) for one in runs]
    runs = [replace(one, protocol=replace(one.protocol, stem=stem)) for one in runs]
    first, second = verify(runs, tmp_path).values()
    assert first.convolutions == second.convolutions and first.permutation != second.permutation


def test_a_sweep_and_a_single_run_of_a_broken_model_train_nothing(tmp_path):
    """The real command on a copy of the sources with one line changed, as a user might change it."""
    for folder in ("model", "ablations", "conf", "analysis"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "notebooks"))
    source = tmp_path / "model" / "shufflenet.py"
    changed = source.read_text().replace("self.shuffle = shuffle and groups > 1", "self.shuffle = groups > 1")
    assert changed != source.read_text()
    source.write_text(changed)
    for grid in (["-m", *TINY, "model.groups=1,3", "model.shuffle=true,false"], [*TINY, "model.shuffle=false"]):
        done = execute([sys.executable, "-m", "ablations", *grid], tmp_path, PYTHONPATH=str(tmp_path))
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("error: The ablation would not ablate") and "Traceback" not in done.stderr
        assert (
            "no shuffle: its channel permutation is not the identity, as shuffle is off (unit 1 and 15 more of 16)"
            in done.stderr
        )
        assert not list((tmp_path / "results").glob("runs/*"))
