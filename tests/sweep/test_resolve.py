"""From configuration to run: what `auto` and null become, and what identity does not see."""

from dataclasses import replace

import pytest

from ablations.core.config import Config, GlyphsConfig, RecipeConfig, RuntimeConfig
from ablations.core.device import count, resolve_device, resolve_precision
from ablations.core.errors import UserError
from ablations.execution.worker import gpu_names, worker_count
from ablations.sweep.resolve import to_run

RECIPE = RecipeConfig(name="r", epochs=1, batch_size=8, lr=0.1, weight_decay=0.0)
DATA = GlyphsConfig(name="glyphs", resolution=24, cache_resolution=24, train_images=40, test_images=20)
CONFIG = Config(model={"structure": "shufflenet", "stem": "stride2"}, data=DATA, recipe=RECIPE)


def test_autos_are_settled_before_the_description_is_hashed():
    one = to_run(CONFIG)
    assert one.protocol.precision in ("float32", "bfloat16")
    assert one.variant.axes["stem_channels"] == 24
    assert one.protocol.data.train_images == 40 and len(one.protocol.data.digest) == 16
    explicit = replace(CONFIG, model=dict(CONFIG.model, stem_channels=24), precision=one.protocol.precision)
    assert to_run(explicit).run_id == one.run_id


@pytest.mark.parametrize(
    "other",
    [
        replace(CONFIG, study="shuffle", preset="x"),
        replace(CONFIG, recipe=replace(RECIPE, name="another name")),
        replace(CONFIG, data=replace(DATA, cache_dir="elsewhere")),
        replace(
            CONFIG, runtime=RuntimeConfig(workers=3, threads=2, results_dir="r", evaluate_every=2, progress="rich")
        ),
        replace(CONFIG, model=dict(CONFIG.model, groups=3)),
    ],
)
def test_identity_ignores_where_and_how(other):
    assert to_run(other).run_id == to_run(CONFIG).run_id


def test_one_group_without_shuffle_is_with_shuffle():
    off = replace(CONFIG, model=dict(CONFIG.model, groups=1, shuffle=False))
    assert to_run(off).run_id == to_run(replace(off, model=dict(off.model, shuffle=True))).run_id
    assert to_run(replace(off, model=dict(off.model, groups=3))).variant.axes["shuffle"] is False


def test_precision_and_device():
    assert resolve_precision("auto", "cpu") == "float32" and resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert resolve_device("cpu") == "cpu" and count("cpu") == 1
    with pytest.raises(UserError, match=r"precision=float8"):
        resolve_precision("float8", "cpu")


def test_a_device_that_is_not_there(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime.device=cuda, but torch sees no such device"):
        resolve_device("cuda")


def test_on_a_gpu(monkeypatch):
    """The GPU's branches, with torch saying that there are two."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_device("cuda") == "cuda" and resolve_precision("auto", "cuda") == "bfloat16"
    assert worker_count(RuntimeConfig(device="cuda")) == 2
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert resolve_precision("auto", "cuda") == "float32"


def test_gpu_names_follow_what_this_process_was_given(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_names(RuntimeConfig(device="cuda")) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    assert gpu_names(RuntimeConfig(device="cuda")) == ["3", "GPU-7"]
    assert gpu_names(RuntimeConfig(device="cpu")) == []


def test_gpus_of_runs(monkeypatch):
    """With torch saying that there are five."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def names(**what):
        return gpu_names(RuntimeConfig(device="cuda", **what))

    assert names(gpus=2) == ["0", "1"] and names(gpus=[4, 2]) == ["4", "2"]
    assert names(processes_per_run=2) == ["0,1", "2,3"] and names(processes_per_run=5) == ["0,1,2,3,4"]
    assert worker_count(RuntimeConfig(device="cuda", processes_per_run=2, runs_per_gpu=3)) == 6
    assert worker_count(RuntimeConfig(device="cuda", gpus=[1])) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9,8,7,6,GPU-5")
    assert names(gpus=[0, 4], processes_per_run=2) == ["9,GPU-5"]
    for wrong, said in [
        ({"gpus": 6}, "5 of them are visible"),
        ({"gpus": [5]}, "5 of them are visible"),
        ({"processes_per_run": 6}, "needs as many GPUs; 5"),
        ({"gpus": True}, "must be null"),
        ({"gpus": [1], "processes_per_run": 2}, "needs as many GPUs; 1"),
    ]:
        with pytest.raises(UserError, match=said):
            worker_count(RuntimeConfig(device="cuda", **wrong))


def test_worker_count():
    assert worker_count(RuntimeConfig(device="cpu", threads=2, processes_per_run=5_000)) == 1
    assert worker_count(RuntimeConfig(device="cpu", workers=5)) == 5
    assert worker_count(RuntimeConfig(device="cpu", threads=10_000)) == 1
