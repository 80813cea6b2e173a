"""CIFAR-10 and CIFAR-100: official batches, found or downloaded, their md5 checked before they are unpickled."""

import hashlib
import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.config import CifarConfig, DataConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec, digest
from ablations.data import array_source, cache, subsets
from ablations.data.work import Report

SIDE = 32
_DECODER = 1
"""Version of how batches become arrays. Bump it by hand when the same batches would give other pixels."""


@dataclass(frozen=True)
class Archive:
    """An official archive: the folder inside it, and the md5 of each file (as torchvision has them)."""

    folder: str
    torchvision: str
    classes: int
    train: dict[str, str]
    test: dict[str, str]
    meta: dict[str, str]
    labels: str
    names: str
    images: tuple[int, int] = (50000, 10000)


ARCHIVES = {
    "cifar10": Archive(
        folder="cifar-10-batches-py",
        torchvision="CIFAR10",
        classes=10,
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
        meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
        labels="labels",
        names="label_names",
    ),
    "cifar100": Archive(
        folder="cifar-100-python",
        torchvision="CIFAR100",
        classes=100,
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
        labels="fine_labels",
        names="fine_label_names",
    ),
}


def resolve(config: DataConfig, report: Report | None, need_files: bool) -> DataSpec:
    """Name the set and settle its counts; the digest covers the md5 of every official file.

    Raises:
        UserError: data that are absent and may not be downloaded, or a wrong count or resolution.
    """
    assert isinstance(config, CifarConfig)
    archive = ARCHIVES[config.name]
    if config.cache_resolution != SIDE:
        raise UserError(f"data.cache_resolution={config.cache_resolution}: {config.name} has images of 32; set 32.")
    images = subsets.counts(config, archive.classes, archive.images[0], None, archive.images[1])
    named = digest({"decoder": _DECODER, "md5": {**archive.train, **archive.test, **archive.meta}})
    spec = subsets.describe(config, named, 3, archive.classes, images)
    if (
        need_files
        and not config.download
        and _find(config, archive) is None
        and cache.damage(cache.folder(config, spec))
    ):
        raise _absent(config, archive, "and data.download=false")
    return spec


def source(config: DataConfig, spec: DataSpec, report: Report | None) -> array_source.ArraySource:
    """The images (32, 32, 3), downloaded into data.dir when they are not there.

    Raises:
        UserError: no data and no network, or a file that is not the official one.
    """
    assert isinstance(config, CifarConfig)
    archive = ARCHIVES[config.name]
    folder = _find(config, archive)
    if folder is None:
        if not config.download:
            raise _absent(config, archive, "and data.download=false")
        folder = _download(config, archive)
    names = _read(folder, archive.meta)[archive.names]
    files = {"train": archive.train, "test": archive.test}

    def batches(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for name, md5 in files[split].items():
            batch = _read(folder, {name: md5})
            pixels = np.asarray(batch["data"]).reshape(-1, 3, SIDE, SIDE)
            yield np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), np.array(batch[archive.labels], np.int64)

    counts = {"train": archive.images[0], "test": archive.images[1]}
    return array_source.ArraySource(class_names=list(names), shape=(SIDE, SIDE, 3), counts=counts, batches=batches)


def _find(config: CifarConfig, archive: Archive) -> Path | None:
    """The folder with all batch files: data.dir/<archive folder>, or data.dir itself."""
    for folder in (Path(config.dir) / archive.folder, Path(config.dir)):
        if all((folder / name).is_file() for name in (*archive.train, *archive.test, *archive.meta)):
            return folder
    return None


def _download(config: CifarConfig, archive: Archive) -> Path:
    """Fetch and unpack the official archive into data.dir; returns the folder with the batches."""
    from torchvision.datasets import cifar  # torch: seconds to import, and only this once needed
    from torchvision.datasets.utils import download_and_extract_archive

    official = getattr(cifar, archive.torchvision)
    try:
        Path(config.dir).mkdir(parents=True, exist_ok=True)
        download_and_extract_archive(official.url, config.dir, filename=official.filename, md5=official.tgz_md5)
    except (OSError, RuntimeError) as error:
        raise _absent(config, archive, f"and the download failed ({error})") from None
    return Path(config.dir) / archive.folder


def _absent(config: CifarConfig, archive: Archive, why: str) -> UserError:
    """The sentence for missing data: both ways to get it."""
    return UserError(
        f"{config.name} is not in {config.dir} {why}: either run once on a machine with network and "
        f"data.download=true, or unpack the official python archive there, so that {config.dir}/{archive.folder} "
        "exists (another place: DATA_DIR=FOLDER, that is data.dir=FOLDER)."
    )


def _read(folder: Path, file: dict[str, str]) -> dict[str, Any]:
    """Unpickle a file, given as {name: md5}, if it is the official one: the bytes checked are the bytes unpickled.

    Raises:
        UserError: the file cannot be read, or has another md5.
    """
    ((name, md5),) = file.items()
    remedy = "delete it and run again with data.download=true, or unpack the official archive there anew."
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / name} cannot be read ({error.strerror}): {remedy}") from None
    if (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5:
        raise UserError(f"{folder / name} is damaged: its md5 is {found}, the official file's is {md5}; {remedy}")
    batch: dict[str, Any] = _Arrays(io.BytesIO(content), encoding="latin1").load()
    return batch


class _Arrays(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        # The batches name numpy's modules of 2009; the function that makes an empty array has moved since.
        known = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module.startswith("numpy") and name in known:
            return known[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in an image batch")
