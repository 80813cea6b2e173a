"""Multiply-adds and parameters of the cells of a table, measured once and kept in results/complexity.json.

Those of the networks that presets train, and of the paper's tables, come with the code (`make counts` writes them).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablations.core.json_subprocess import answer_json, run_module_json
from ablations.core.paths import ROOT
from analysis.runs.cell import Cell
from analysis.runs.files import read_json, source_digest, write_json

COUNTED = ROOT / "model" / "counts.json"
"""Costs that were measured beforehand, for the networks as they are while `networks_digest` stays."""

FAST_PATHS = ("native", "gpu", "backend.py", "exact.py", "fused.py", "ghost_batchnorm.py", "timing.py")
"""Folders and files of model/ that say how a network is computed, not what it is."""


@dataclass(frozen=True)
class Subject:
    """A network and its input: everything that its cost depends on. Channel shuffle is not: it only moves channels."""

    network: Cell
    stem: str
    channels: int
    resolution: int
    classes: int

    @property
    def name(self) -> str:
        """Its key in complexity.json, and how it is told to the process that measures."""
        given = {axis: value for axis, value in asdict(self).items() if axis != "network"}
        return json.dumps({**dict(self.network.values), **given}, sort_keys=True)


def subject(cell: Cell, stem: str, channels: int, resolution: int, classes: int) -> Subject:
    """The network and input of a cell; axes outside the network cost nothing."""
    free = {axis: None for axis, _ in cell.values if axis == "shuffle" or "." in axis}
    return Subject(cell.but(free), stem, channels, resolution, classes)


@dataclass(frozen=True)
class NetworkCost:
    """What one image costs a network.

    Attributes:
        macs: multiply-adds of convolutions and fully connected layers, the paper's FLOPs.
        conv_macs: multiply-adds of convolutions alone, which the paper's Table 1 rounds to.
        params: parameters of the network.
    """

    macs: int
    conv_macs: int
    params: int


def at_224(cell: Cell) -> Subject:
    """A network as the paper measures it: 3 x 224 x 224 input, the paper's stem, 1000 classes."""
    return subject(cell, "imagenet", 3, 224, 1000)


def costs(results: Path, subjects: Iterable[Subject], measure: bool = True) -> dict[Subject, NetworkCost | None]:
    """Cost of each subject, None where it cannot be built; imports torch only for what complexity.json does not hold.

    Args:
        results: the results folder, which holds complexity.json.
        measure: False: what complexity.json does not hold is None, too. Measuring takes longer than all else that is
            published.

    Raises:
        RuntimeError: measuring failed, for instance since the two counters of model.complexity disagree.
    """
    wanted = list(dict.fromkeys(subjects))
    path, digest = results / "complexity.json", source_digest(ROOT / "model")
    kept = read_json(path) or {}
    known: dict[str, Any] = kept.get("costs", {}) if kept.get("model") == digest else {}
    missing = [subject for subject in wanted if subject.name not in known]
    if missing and measure:
        known.update(zip((subject.name for subject in missing), _measure(missing), strict=True))
        write_json(path, {"schema": 1, "model": digest, "costs": dict(sorted(known.items()))})
    return {subject: NetworkCost(**found) if (found := known.get(subject.name)) else None for subject in wanted}


def networks_digest() -> str:
    """sha256 over the Python files of model/, without those that compute the same networks faster."""
    digest, folder = hashlib.sha256(), ROOT / "model"
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] not in FAST_PATHS:
            digest.update(f"{name.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def counted() -> dict[str, Any]:
    """Costs by name that came with the code; none where model/ has changed since they were measured."""
    kept = read_json(COUNTED) or {}
    return dict(kept["costs"]) if kept.get("networks") == networks_digest() else {}


def _measure(subjects: list[Subject]) -> list[dict[str, int] | None]:
    """Costs that came with the code; of the rest `_measure_one`, in a process of its own: torch imports for seconds."""
    known = counted()
    rest = [subject for subject in subjects if subject.name not in known]
    try:
        if rest:
            found = run_module_json("analysis.runs.macs", [json.loads(subject.name) for subject in rest])
            known.update(zip((subject.name for subject in rest), found, strict=True))
    except RuntimeError as error:
        raise RuntimeError(f"The complexity of networks could not be measured: {error}") from None
    return [known[subject.name] for subject in subjects]


def _measure_one(settings: dict[str, Any]) -> dict[str, int] | None:
    """The fields of NetworkCost, or None for a network that this project cannot build. Imports torch."""
    from model import build, complexity

    channels, resolution, classes = (settings.pop(key) for key in ("channels", "resolution", "classes"))
    try:
        network = build(settings.pop("structure"), **settings, num_classes=classes, in_channels=channels)
    except (TypeError, ValueError):
        return None
    found = complexity(network, (channels, resolution, resolution))
    return {"macs": found.macs, "conv_macs": found.conv_macs, "params": found.params}


if __name__ == "__main__":
    answer_json(lambda subjects: [_measure_one(subject) for subject in subjects])
