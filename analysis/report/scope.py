"""What the runs of a protocol were trained on, and how: the main lines, and all of it in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pandas as pd

from ablations.core.run_spec import Recipe
from ablations.core.text import counted, plural
from analysis.runs.provenance import name_seeds
from analysis.studies import notes
from analysis.studies.assemble import Section

Lines = list[tuple[str, str]]

DECAYS = {
    "all": "all weights",
    "matrices": "weights of more than one dimension (neither BatchNorm’s nor biases)",
    "pointwise": "weights of more than one dimension but the depthwise 3×3 kernels",
}
STEMS = {
    "imagenet": "3×3 convolution of stride 2, 3×3 max pool of stride 2 (the paper’s)",
    "stride2": "3×3 convolution of stride 2, no pool",
    "stride1": "3×3 convolution of stride 1, no pool",
}
PROTOCOL = [
    *("data", "classes", "channels", "digest", "train_images", "val_images", "test_images", "evaluate", "resolution"),
    *("cache_resolution", "stem", "precision", *(field.name for field in fields(Recipe))),
]
"""Columns of the frame that a protocol fills."""


def main(rows: pd.DataFrame, sections: Sequence[Section]) -> Lines:
    """The lines that a reader looks for first."""
    every, cells = _protocols(rows), pd.concat([section.cells[["seeds_done", "seeds_planned"]] for section in sections])
    lines = {
        "Data": lambda one: f"{one['data']}, {one['classes']} classes",
        "Training images": lambda one: f"{one['train_images']:,} at {one['resolution']}×{one['resolution']}",
        "Validation images" if every[0]["evaluate"] == "val" else "Test images": lambda one: f"{one['test_images']:,}",
        "Epochs": lambda one: f"{one['epochs']}",
        "Batch": lambda one: f"{one['batch_size']:,}",
        "Learning rate": lambda one: f"{one['lr']:g}",
        "Weight decay": lambda one: f"{one['weight_decay']:g}",
    }
    return [
        *((name, _each(every, say)) for name, say in lines.items()),
        ("Seeds a cell", notes.seeds_done(cells).rpartition(" ")[0]),
        ("Runs done", f"{(rows['state'] == 'done').sum():,} of {len(rows):,}"),
        ("Preset", f"{rows['preset'].iloc[0]}"),
    ]


def whole(rows: pd.DataFrame) -> Lines:
    """Everything that may change a result, then seeds and what computed the runs."""
    every = [_lines(one) for one in _protocols(rows)]
    lines = [(name, _each(every, lambda one, name=name: one[name])) for name in every[0]]
    counted = rows.loc[rows["state"] == "done", "kernels"].fillna("not recorded").value_counts().sort_index()
    kernels = [f"{name} ({count:,} {plural(count, 'run')})" for name, count in counted.items()]
    if len(kernels) == 1:
        kernels = [str(counted.index[0])]
    lines += [("Kernels", "; ".join(kernels))] if kernels else []
    return [*lines, ("Seeds", name_seeds(sorted(rows["seed"].unique())))]


def _lines(one: Mapping[Any, Any]) -> dict[str, str]:
    """A protocol in words, by name."""
    size, kept = (f"{one[name]}×{one[name]}" for name in ("resolution", "cache_resolution"))
    split = notes.split(one)
    crops = {
        "none": "none, the centre",
        "pad": f"shifted by up to {one['pad']} pixels, filled with zeros",
        "resized": f"a random part of {100 * one['area'][0]:g} to {100 * one['area'][1]:g} % of the area, resized",
    }
    parts = one["ghost_batches"]
    return {
        "Data": f"{one['data']}, {one['classes']} classes, {notes.colour(one)}; digest {one['digest'][:10]}",
        "Training images": f"{one['train_images']:,}, kept at {kept}, trained at {size}",
        "Error on": f"{one['test_images']:,} {split} {plural(one['test_images'], 'image')}, after the last epoch",
        "Held out": f"{counted(one['val_images'], 'image')} for validation",
        "Epochs": f"{one['epochs']}",
        "Batch": f"{one['batch_size']:,} images" + (f", BatchNorm sees {parts} equal parts of it" if parts > 1 else ""),
        "Optimizer": f"SGD, {'Nesterov ' if one['nesterov'] else ''}momentum {one['momentum']:g}",
        "Learning rate": f"{one['lr']:g} at its highest, falling linearly to 0",
        "Warm-up": _warmup(one["warmup_epochs"]),
        "Weight decay": f"{one['weight_decay']:g} on {DECAYS.get(one['decay'], one['decay'])}",
        "Label smoothing": f"{one['label_smoothing']:g}" if one["label_smoothing"] else "none",
        "Random crop": crops.get(one["crop"], str(one["crop"])),
        "Flip": "left to right, one image in two" if one["flip"] else "none",
        "Colour jitter": f"{one['jitter']:g}" if one["jitter"] else "none",
        "Stem": STEMS.get(one["stem"], str(one["stem"])),
        "Precision": str(one["precision"]),
    }


def _protocols(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Each protocol of the runs: several where a study varies a part of it."""
    order = [name for name in PROTOCOL if name != "area"]
    return rows[PROTOCOL].drop_duplicates().sort_values(order).to_dict("records")


def _each(every: Sequence[Any], say: Any) -> str:
    return " and ".join(dict.fromkeys(say(one) for one in every))


def _warmup(epochs: float) -> str:
    return f"linear from 0 in {epochs:g} {plural(epochs, 'epoch')}" if epochs else "none"
