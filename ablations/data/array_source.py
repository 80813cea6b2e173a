"""A data set that comes as a stream of batches, from one process: characters drawn here, official archives."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ablations.core.errors import UserError
from ablations.data import npy_writer
from ablations.data.work import Report


@dataclass(frozen=True)
class ArraySource:
    """The pixels of a data set of equal images: `batches(split)` yields (B, H, W, C) uint8 with labels (B,) int64."""

    class_names: list[str]
    shape: tuple[int, int, int]  # (H, W, C)
    counts: dict[str, int]  # images in each split, at most
    batches: Callable[[str], Iterable[tuple[np.ndarray, np.ndarray]]]

    resumable: ClassVar[bool] = False

    @property
    def needed(self) -> int:
        """Bytes that the cache will have."""
        height, width, channels = self.shape
        return sum(self.counts.values()) * (height * width * channels + 8) + self.counts["train"] * 16 * channels

    def fill(self, part: Path, report: Report | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Write all splits; see `cache.Source`."""
        counts = {split: self._write(part, split, report) for split in self.counts}
        return {"class_names": self.class_names, "counts": counts}, {}

    def _write(self, part: Path, split: str, report: Report | None) -> int:
        """Write a split's images, labels and, for training, sums; returns how many images there are."""
        labels: list[np.ndarray] = []
        sums: list[np.ndarray] = []

        def images() -> Iterable[np.ndarray]:
            done = 0
            for batch, names in self.batches(split):
                if len(batch) != len(names):
                    raise UserError(
                        f"The {split} split has {len(batch)} images with {len(names)} labels: it is damaged."
                    )
                if len(names) and not 0 <= names.min() <= names.max() < len(self.class_names):
                    raise UserError(f"The {split} split has labels outside its {len(self.class_names)} classes.")
                labels.append(names)
                if split == "train":
                    sums.append(npy_writer.sums(batch))
                done += len(batch)
                if report:
                    report(f"caching {split} images", done, self.counts[split])
                yield batch

        count = npy_writer.write(part / f"{split}_images.npy", images(), self.shape, np.uint8)
        npy_writer.write(part / f"{split}_labels.npy", labels, (), np.int64)
        if split == "train":
            npy_writer.write(part / "train_sums.npy", sums, (2, self.shape[2]), np.int64)
        return count
