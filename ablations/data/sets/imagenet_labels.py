"""Which class each of ImageNet's validation images is of: from the official development kit, or a list of wnids."""

import io
import tarfile
from pathlib import Path

from ablations.core.errors import UserError

ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
FOLDER = "ILSVRC2012_devkit_t12"
LABELS = "imagenet_2012_validation_synset_labels.txt"
"""A wnid a line, in the order of the images' names: the form in which TensorFlow's models have the ground truth."""

TRUTH = f"{FOLDER}/data/ILSVRC2012_validation_ground_truth.txt"
META = f"{FOLDER}/data/meta.mat"


def find_devkit(root: Path) -> Path | None:
    """What there is of the three, the archive first."""
    return next((path for name in (ARCHIVE, FOLDER, LABELS) if (path := root / name).exists()), None)


def truth(root: Path, wnids: list[str]) -> list[str]:
    """The class of each validation image, in the order of their names.

    Raises:
        UserError: there is no list, it cannot be read, or it has classes besides `wnids`.
    """
    path = find_devkit(root)
    if path is None:
        raise UserError(f"Nothing in {root} says which class each validation image is of: put {ARCHIVE} there.")
    try:
        found = path.read_text(encoding="ascii").split() if path.name == LABELS else _from_devkit(path)
    except (OSError, tarfile.TarError, KeyError, ValueError, IndexError, TypeError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}: {error}): get it anew.") from None
    if unknown := set(found) - set(wnids):
        raise UserError(f"{path} has classes that train has not, {min(unknown)} for one: it belongs to other images.")
    return found


def _from_devkit(path: Path) -> list[str]:
    """Numbers 1..1000 of the kit's own, by line, and what wnid each is."""
    from scipy.io import loadmat  # a second to import, and only to build the cache

    if path.name == FOLDER:
        numbers, meta = ((path.parent / name).read_bytes() for name in (TRUTH, META))
    else:
        with tarfile.open(path) as archive:
            numbers, meta = (_content(archive, name) for name in (TRUTH, META))
    synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
    # (ILSVRC2012_ID, WNID, words, gloss, num_children, ...): those with children are groups of classes.
    wnid_of = {int(one[0]): str(one[1]) for one in synsets if int(one[4]) == 0}
    return [wnid_of[int(number)] for number in numbers.split()]


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
