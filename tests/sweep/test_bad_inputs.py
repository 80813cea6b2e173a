"""Every mistake gets one sentence that says what is wrong, and a code that is not 0; nothing is trained."""

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from ablations.sweep.hydra_app import main
from tests.sweeps import ablations, command

OVERRIDES = {
    # keys and types
    "preset=nosuch": "Could not find 'preset/nosuch'",
    "recipe=nosuch": "Could not find 'recipe/nosuch'",
    "ablation=nosuch": "Could not find 'ablation/nosuch'",
    "data=nosuch": "Could not find 'data/nosuch'",
    "model.grops=3": "model.grops is no axis of shufflenet: did you mean groups?",
    "+model.extra=1": "model.extra is no axis of shufflenet",
    "+extra=1": "Key 'extra' not in 'Config'",
    "model.groups=x": "could not be converted to Integer",
    "model.width=wide": "could not be converted to Float",
    "model.shuffle=maybe": "is not a valid bool",
    "seed=1.5": "could not be converted to Integer",
    "seed=a": "could not be converted to Integer",
    "seed=range(0,2,0.5)": "could not be converted to Integer",
    "recipe.area=1": "Invalid value assigned",
    "model.groups=[": "no viable alternative at input '['",
    "=3": "Config group override must be a string or a list",
    "data.name=???": "leaves data.name without a value",
    # the network
    "model.groups=5": "groups=5 cannot be built",
    "model.groups=0": "groups=0",
    "model.groups=1,7": "groups=7 cannot be built",
    "model.width=-1": "width=-1",
    "model.width=0.001": "width=0.001",
    "model.width=nan": "width=nan",
    "model.stem=other": "stem='other' is unknown",
    "model.stem_channels=25": "stem_channels=25",
    "model.structure=resnet": "model.groups is no axis of resnet: there are width. Another family is chosen by "
    "model=resnet",
    "model.structure=reznet": "model.structure=reznet is not a network: it is none of shufflenet, blog",
    "model=own": "model=own says no family: add model.structure=FOLDER.FILE",
    "model.units=4/8": "model.units=4/8 cannot be built: write the units of stages 2, 3 and 4 as 4/8/4",
    # the protocol
    "seed=-1": "seed=-1 is out of range: it must be from 0 to 9,223,372,036,854,775,807",
    "seed=9223372036854775808": "seed=9223372036854775808 is out of range",
    "seed=range(0)": "seed=range(0) stands for no value",
    "model.groups=glob(*)": "model.groups=glob(*) stands for no value",
    "model.width=1e30": "model.width=1e+30 is out of range: it must be from 0 to 64",
    "recipe.epochs=1e30": "could not be converted to Integer",
    "recipe.epochs=1000000000000": "recipe.epochs=1000000000000 is out of range: it must be from 1 to 1,000,000",
    "data.train_images=99999999999999999999": "data.train_images=99999999999999999999 is out of range",
    "runtime.threads=99999": "runtime.threads=99999 is out of range",
    "precision=half": "precision=half is not a precision",
    "recipe.epochs=0": "recipe.epochs=0 is out of range",
    "recipe.lr=-1": "recipe.lr=-1.0 is out of range",
    "recipe.lr=nan": "recipe.lr=nan is out of range",
    "recipe.weight_decay=inf": "recipe.weight_decay=inf is out of range",
    "recipe.label_smoothing=1": "recipe.label_smoothing=1.0",
    "recipe.crop=centre": "recipe.crop=centre",
    "recipe.decay=none": "recipe.decay=none",
    "recipe.momentum=1": "recipe.momentum=1",
    "recipe.momentum=0": "recipe.nesterov=true needs recipe.momentum above 0",
    "recipe.warmup_epochs=9": "recipe.warmup_epochs=9",
    "recipe.batch_size=1000": "recipe.batch_size=1000 is more than",
    "recipe.ghost_batches=0": "recipe.ghost_batches=0 is out of range",
    "recipe.ghost_batches=3": "recipe.ghost_batches=3 must divide recipe.batch_size=32",
    "recipe.ghost_batches=32": "recipe.ghost_batches=32 must divide recipe.batch_size=32",
    "recipe.area=[0.5,0.1]": "recipe.area=[0.5, 0.1]",
    "data.resolution=25": "data.resolution=25",
    "data.evaluate=train": "data.evaluate=train",
    "data.train_images=0": "data.train_images=0 is out of range",
    "data.characters=aa": "data.characters='aa' must be two or more different",
    "data.noise=nan": "data.noise=nan must lie in",
    "data.name=other": "data.name=other is not a data set",
    # places and names
    "data.dir=nowhere": "nowhere",
    "runtime.results_dir=/dev/null/results": "cannot be written",
    "study=../../elsewhere": "study='../../elsewhere' is not a name",
    "study='<b>bold</b>'": "study='<b>bold</b>' is not a name",
    "preset='a b'": "Could not find 'preset/a b'",
    # the execution
    "runtime.device=tpu": "runtime.device=tpu is not a device",
    "runtime.workers=0": "runtime.workers=0",
    "runtime.gpus=0": "runtime.gpus=0 must be null",
    "runtime.gpus=[0,0]": "runtime.gpus=[0, 0] must be null",
    "runtime.gpus=some": "runtime.gpus=some must be null",
    "runtime.gpus=1": "runtime.gpus=1, but runs train on the device cpu",
    "runtime.processes_per_run=0": "runtime.processes_per_run=0 is out of range",
    "runtime.processes_per_run=2": "runtime.processes_per_run=2 must divide recipe.ghost_batches=1",
    "runtime.threads=0": "runtime.threads=0",
    "runtime.runs_per_gpu=0": "runtime.runs_per_gpu=0",
    "runtime.retries=-1": "runtime.retries=-1",
    "runtime.run_timeout=-5": "runtime.run_timeout=-5",
    "runtime.checkpoint_every=nan": "runtime.checkpoint_every=nan",
    "runtime.evaluate_every=-1": "runtime.evaluate_every=-1",
    "runtime.progress=loud": "runtime.progress=loud is not one of",
    "logger.name=other": "logger.name=other is not a logger",
    "logger=nosuch": "Could not find 'logger/nosuch'",
}


def test_as_a_command(tmp_path):
    first = ablations(tmp_path / "results", "-m", "model.groups=5")
    assert first.returncode == 2 and "Traceback" not in first.stderr
    assert first.stderr.startswith("error: model.groups=5")


@pytest.mark.parametrize("override", OVERRIDES)
def test_every_mistake_gets_a_sentence_and_nothing_is_trained(tmp_path, capsys, monkeypatch, override):
    """In this process, since starting one for each takes a second."""
    said = run(monkeypatch, capsys, command(tmp_path / "results", "-m", override)[2:])
    assert OVERRIDES[override] in said, said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) <= 1
    assert not list((tmp_path / "results").glob("runs/*"))


def run(monkeypatch, capsys, arguments: list[str]) -> str:
    """What a command that must fail says on standard error."""
    GlobalHydra.instance().clear()
    # Hydra takes coverage's tracing for a debugger and would raise in place of printing.
    monkeypatch.setattr("hydra._internal.utils.is_under_debugger", lambda: False)
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code not in (0, None) and "Traceback" not in said, said
    return str(said)


def folder(tmp_path: Path, images: dict[str, bytes]) -> str:
    """A folder of images, from the bytes of each file."""
    for name, content in images.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(tmp_path / "images")


def test_data_that_are_not_what_they_should_be(tmp_path, capsys, monkeypatch):
    where = folder(tmp_path, {"train/a/1.png": b"no image"})
    arguments = command(tmp_path / "results", "-m", "data=tiny", f"data.dir={where}")[2:]
    assert "neither val/ nor test/" in run(monkeypatch, capsys, arguments)
    files = {f"{split}/{name}/{k}.png": b"no image" for split in ("train", "val") for name in "ab" for k in range(40)}
    folder(tmp_path, files)
    assert "cannot be decoded: train/a/0.png (not an image)" in run(monkeypatch, capsys, arguments)
