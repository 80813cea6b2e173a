"""Short names that tell protocols apart: what differs between those that are there, in words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ablations.core.files import flatten
from ablations.core.run_spec import LATER, Run, label, plain

FIRST = ("data.name", "resolution", "data.train_images", "recipe.epochs")
"""Keys whose differences are named first, in the order of a table's title."""

MINOR = ("data.classes", "data.channels", "data.val_images", "data.test_images", "data.cache_resolution", "data.digest")
"""Keys that mostly differ because another does: named only where nothing else tells two protocols apart."""

WORDS = {
    "data.name": "{}",
    "data.digest": "data {:.6}",
    "data.classes": "{} classes",
    "data.channels": "{} channels",
    "data.train_images": "{:,} training images",
    "data.val_images": "{:,} validation images",
    "data.test_images": "{:,} test images",
    "data.evaluate": "evaluated on {} images",
    "recipe.epochs": "{} epochs",
    "recipe.batch_size": "batch {}",
    "recipe.warmup_epochs": "warm-up {:g} epochs",
    "resolution": "{0}×{0}",
    "stem": "{} stem",
    "precision": "{}",
}
"""How a value is said; the others are said as `label smoothing 0.1`, `flip` and `no flip`."""


def protocol_names(protocols: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By protocol_id what sets each apart from the others: `8 epochs, label smoothing 0.1`. Empty for a single one.

    No two names are equal: protocols that differ in nothing but the version of the maths have their id in it.

    Args:
        protocols: the plain form of each (`run_spec.plain`), as plans and run.json hold it.
    """
    if len(protocols) < 2:
        return dict.fromkeys(protocols, "")
    flat = {protocol_id: _flat(protocol) for protocol_id, protocol in protocols.items()}
    keys = [
        key for key in dict.fromkeys([*FIRST, *(key for one in flat.values() for key in one)]) if _differs(flat, key)
    ]
    names = {
        protocol_id: ", ".join(_words(key, one.get(key)) for key in keys if key not in MINOR)
        for protocol_id, one in flat.items()
    }
    for key in (key for key in MINOR if key in keys):
        for name in [name for name, count in Counter(names.values()).items() if count > 1]:
            same = {protocol_id: flat[protocol_id] for protocol_id in names if names[protocol_id] == name}
            if _differs(same, key):
                names |= {one: _joined(name, _words(key, same[one].get(key))) for one in same}
    counts = Counter(names.values())
    return {
        one: name if counts[name] == 1 and name else _joined(name, f"protocol {one}") for one, name in names.items()
    }


def cell_names(runs: Iterable[Run]) -> dict[str, str]:
    """By cell_id the network, and where protocols differ what sets its own apart: `g3 0.5x, label smoothing 0.1`."""
    cells = {run.cell_id: run for run in runs}
    protocols = protocol_names({run.protocol_id: plain(run.protocol) for run in cells.values()})
    return {
        cell_id: ", ".join(filter(None, (label(run.variant), protocols[run.protocol_id])))
        for cell_id, run in cells.items()
    }


def run_names(runs: Iterable[Run]) -> dict[str, str]:
    """By run_id the name of its cell and its seed: `g3 0.5x, label smoothing 0.1 seed 2`."""
    listed = list(runs)
    cells = cell_names(listed)
    return {run.run_id: f"{cells[run.cell_id]} seed {run.seed}" for run in listed}


def _flat(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key, those that a description leaves out filled in; lists as tuples, which can be compared."""
    whole = {key: {**LATER, **value} if key == "recipe" else value for key, value in protocol.items()}
    return {name: tuple(one) if isinstance(one, list) else one for name, one in flatten(whole).items()}


def _differs(flat: Mapping[str, Mapping[str, Any]], key: str) -> bool:
    return len({one.get(key) for one in flat.values()}) > 1


def _words(key: str, value: Any) -> str:
    name = key.rpartition(".")[2].replace("_", " ")
    if value is None:
        return f"{name} unknown"
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if key in WORDS:
        text = WORDS[key].format(value)
        return text[:-1] if value == 1 and text.endswith("s") else text
    if isinstance(value, tuple):
        return f"{name} {' to '.join(f'{one:g}' for one in value)}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _joined(name: str, more: str) -> str:
    return f"{name}, {more}" if name else more
