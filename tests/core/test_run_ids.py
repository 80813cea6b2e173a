"""Run ids of the default grid under every preset: results on users' disks are found by them, so none may change.

run_ids.json was written by the code of commit 8ea941b, before modules moved and data sets changed. A test that fails
here means that stored runs would be trained again. Never write the list anew with today's code.
"""

import json
from pathlib import Path

import pytest

from ablations.core.run_spec import DataSpec, label
from ablations.data.sets import imagefolder
from ablations.sweep.hydra_app import compose

EXPECTED = json.loads(Path(__file__).with_name("run_ids.json").read_text(encoding="utf-8"))
"""By preset and variant: the run ids of seeds 0, 1, 2."""

AS_IT_WAS = {
    "quick": [
        *("data.typefaces=heldout", "data.noise=0.2"),
        *("data.train_images=2000", "data.val_images=1000", "data.test_images=2000"),
        *("recipe.batch_size=64", "recipe.lr=0.02", "recipe.warmup_epochs=1"),
    ]
}
"""By preset: what brings back its settings at commit 8ea941b, where these were changed on purpose since."""

FOLDER = DataSpec("imagefolder", "0123456789abcdef", 64, 3, 200, 100_000, 0, 10_000, "test")
"""Stands in for the user's own images, in the committed list too: preset tiny has no data set of its own."""


@pytest.mark.parametrize("preset", EXPECTED)
def test_run_ids_of_the_default_grid_never_change(preset, monkeypatch):
    # All else goes the way of a sweep: conf/, the grid's expansion, composing and resolving. The digests of cifar10 and
    # imagenet follow from constants and those of glyphs from matplotlib's fonts, so no data set need be here. The
    # device is fixed because precision=auto is another one on a GPU.
    monkeypatch.setattr(imagefolder, "resolve", lambda *_: FOLDER)
    settings = ["seed=0,1,2", "runtime.device=cpu", *AS_IT_WAS.get(preset, [])]
    jobs = compose(["ablation=groups,shuffle", f"preset={preset}", *settings])
    found: dict[str, dict[int, str]] = {}
    for job in jobs:
        found.setdefault(label(job.run.variant), {})[job.run.seed] = job.run.run_id
    assert {cell: [ids[seed] for seed in sorted(ids)] for cell, ids in found.items()} == EXPECTED[preset]


def test_the_list_is_whole():
    assert list(EXPECTED) == ["quick", "cifar10", "tiny", "imagenet", "smoke"]
    for cells in EXPECTED.values():
        assert len(cells) == 21 and len({run_id for ids in cells.values() for run_id in ids}) == 63
