"""A prepared data set in memory: arrays mapped from its cache, and the rows that are trained and evaluated on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.run_spec import DataSpec
from ablations.data import ragged, subsets
from ablations.data.cache import META
from ablations.data.ragged import RaggedImages


@dataclass(frozen=True)
class Splits:
    """Images are uint8 NHWC, labels int64; all of them are mapped read-only, none is read before it is used."""

    train_images: np.ndarray | RaggedImages  # (N, H, W, C) the whole training split; of unlike sizes where kept whole
    train_labels: np.ndarray  # (N,)
    train_index: np.ndarray  # (n,) int64, sorted: rows of train_images to train on
    eval_images: np.ndarray  # (M, H, W, C) the split that holds the evaluated images; may be train_images itself
    eval_labels: np.ndarray  # (M,)
    eval_index: np.ndarray  # (m,) int64, sorted: rows of eval_images to evaluate; disjoint from what is trained on
    class_names: tuple[str, ...]  # (classes,) in the order of the labels
    mean: np.ndarray  # (C,) float32 over the images trained on, in pixel values 0..255
    std: np.ndarray  # (C,) float32, likewise; at least 1
    remarks: Mapping[str, Any] = field(default_factory=dict)  # what result.json shall say of the data, see `remarks`


def load(folder: Path, spec: DataSpec) -> Splits:
    """Map the cache that `prepare` built, and select what the description says.

    Where `data.skip_broken` left images out, counts mean "at most": the selection is made among those that are there.

    Raises:
        UserError: the folder holds other data than the description, or images and labels that do not belong together.
    """
    meta = _meta(folder, spec)
    train_images, train_labels, sums, pixels = _train(folder, meta, spec)
    own_val = "val" in meta["counts"]
    nothing = np.empty(0, np.int64)
    held = nothing if own_val else subsets.stratified(train_labels, spec.val_images)
    train_index = subsets.balanced(train_labels, spec.train_images, without=held)
    if spec.evaluate == "val" and not own_val:
        eval_images, eval_labels, eval_index = _held(train_images, train_labels, held, spec.cache_resolution)
    else:
        eval_images, eval_labels = _pair(folder, spec.evaluate, spec)
        eval_index = subsets.stratified(eval_labels, spec.val_images if spec.evaluate == "val" else spec.test_images)
    mean, std = _moments(sums[train_index], int(pixels[train_index].sum()))
    return Splits(
        train_images=train_images,
        train_labels=train_labels,
        train_index=train_index,
        eval_images=eval_images,
        eval_labels=eval_labels,
        eval_index=eval_index,
        class_names=tuple(meta["class_names"]),
        mean=mean,
        std=std,
        remarks=remarks(meta, spec),
    )


def remarks(meta: Mapping[str, Any], spec: DataSpec) -> dict[str, Any]:
    """What the result of a run shall say of its data; of most sets nothing.

    Keys, each only where there is something to say:
        images_left_out: for each split [images that could not be decoded, images listed].
        images_shared: for two splits ("train and test") how many images of the second are in the first.
        data_content: sha256 (hex) of what the files hold, of a set that its digest does not name by that.
    """
    listed, counts = meta.get("listed", {}), meta["counts"]
    left_out = {split: [count - counts[split], count] for split, count in listed.items() if count > counts[split]}
    content = None if spec.content else meta.get("content")
    found = {"images_left_out": left_out, "images_shared": meta.get("shared_images"), "data_content": content}
    return {key: value for key, value in found.items() if value}


def _meta(folder: Path, spec: DataSpec) -> dict[str, Any]:
    """meta.json of a cache, which must be that of this data set."""
    meta = read_json(folder / META)
    if meta is None:
        raise UserError(f"{folder} holds no prepared data set; delete it and run again to have it built.")
    if meta["digest"] != spec.digest or len(meta["class_names"]) != spec.classes:
        raise UserError(f"{folder} holds another data set than {spec.name}-{spec.digest}; delete it and run again.")
    return meta


def _train(
    folder: Path, meta: dict[str, Any], spec: DataSpec
) -> tuple[np.ndarray | RaggedImages, np.ndarray, np.ndarray, np.ndarray]:
    """The training split: images, labels (N,), sums of pixels (N, 2, C) and numbers of pixels (N,)."""
    if "train" in meta.get("shards", {}):
        images, labels, sums = ragged.load(folder, "train", meta["shards"]["train"])
        if len(images) != meta["counts"]["train"] or labels.max() >= spec.classes:
            raise UserError(f"The shards in {folder} are not those that it was built of; delete it and run again.")
        return images, labels, sums, images.sizes.prod(1)
    squares, labels = _pair(folder, "train", spec)
    sums = np.load(folder / "train_sums.npy", mmap_mode="r")
    return squares, labels, sums, np.full(len(labels), spec.cache_resolution**2)


def _held(
    images: np.ndarray | RaggedImages, labels: np.ndarray, held: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training images that are held out, as they are evaluated: images, labels and rows of them."""
    if isinstance(images, RaggedImages):
        return images.centres(held, side), labels[held], np.arange(len(held))
    return images, labels, held


def _pair(folder: Path, split: str, spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """A split's images (N, H, W, C) and labels (N,), checked against each other and the description."""
    images = np.load(folder / f"{split}_images.npy", mmap_mode="r")
    labels = np.load(folder / f"{split}_labels.npy", mmap_mode="r")
    wanted = (len(labels), spec.cache_resolution, spec.cache_resolution, spec.channels)
    if images.shape != wanted or images.dtype != np.uint8 or labels.min() < 0 or labels.max() >= spec.classes:
        raise UserError(
            f"{folder}: the {split} images {images.shape} do not go with the {len(labels)} labels of "
            f"{spec.classes} classes; delete the folder and run again to have it rebuilt."
        )
    return images, labels


def _moments(sums: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel from per-image sums (n, 2, C) of `count` pixels; integers to the end, so exact."""
    total = sums.sum(0)
    mean = total[0] / count
    variance = np.maximum(total[1] / count - mean**2, 0)
    # A channel of one colour has no deviation to divide by; one grey level is as good as any.
    return mean.astype(np.float32), np.maximum(np.sqrt(variance), 1).astype(np.float32)
