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
from analysis.runs.files import read_json, source_digest, write_json

COUNTED = ROOT / "model" / "counts.json"
"""Costs that were measured beforehand, for the networks as they are while `networks_digest` stays."""

FAST_PATHS = ("native", "gpu", "backend.py", "exact.py", "fused.py", "ghost_batchnorm.py", "timing.py")
"""Folders and files of model/ that say how a network is computed, not what it is."""


@dataclass(frozen=True)
class Subject:
    """A network and its input: everything that its cost depends on. Channel shuffle is not: it only moves channels."""

    structure: str
    groups: int
    width: float
    stem: str
    stem_channels: int
    channels: int
    resolution: int
    classes: int

    @property
    def name(self) -> str:
        """Its key in complexity.json."""
        return json.dumps(asdict(self), sort_keys=True)


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


def at_224(structure: str, groups: int, width: float, stem_channels: int) -> Subject:
    """A network as the paper measures it: 3 x 224 x 224 input, the paper's stem, 1000 classes."""
    return Subject(structure, groups, width, "imagenet", stem_channels, 3, 224, 1000)


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
            found = run_module_json("analysis.runs.macs", [asdict(subject) for subject in rest])
            known.update(zip((subject.name for subject in rest), found, strict=True))
    except RuntimeError as error:
        raise RuntimeError(f"The complexity of networks could not be measured: {error}") from None
    return [known[subject.name] for subject in subjects]


def _measure_one(subject: Subject) -> dict[str, int] | None:
    """The fields of NetworkCost, or None for a network that cannot be built. Imports torch."""
    from model import build, complexity

    settings = {k: v for k, v in asdict(subject).items() if k not in ("channels", "resolution", "classes", "structure")}
    try:
        network = build(subject.structure, **settings, num_classes=subject.classes, in_channels=subject.channels)
    except ValueError:
        return None
    found = complexity(network, (subject.channels, subject.resolution, subject.resolution))
    return {"macs": found.macs, "conv_macs": found.conv_macs, "params": found.params}


if __name__ == "__main__":
    answer_json(lambda subjects: [_measure_one(Subject(**subject)) for subject in subjects])
