"""The typefaces that matplotlib installs: 21 faces for text in four families, and the splits that each is used in."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from ablations.core.errors import UserError

HELD_OUT = {
    "val": ("DejaVuSans-Oblique", "DejaVuSerif-BoldItalic", "STIXGeneralBol", "cmb10"),
    "test": ("DejaVuSansMono-Bold", "DejaVuSerif", "STIXGeneralItalic", "cmss10"),
}
"""One face of each family (DejaVu Sans, DejaVu Serif, STIX General, Computer Modern) for validation, another for test:
the two are alike in kind, so what is tuned on one carries over to the other, and neither is seen in training."""

TRAIN = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBolIta",
    "cmr10",
    "cmti10",
    "cmtt10",
)
"""The faces trained on. Left out altogether: display cuts, and faces of mathematical symbols."""


ALL = (*TRAIN, *HELD_OUT["val"], *HELD_OUT["test"])

CHOICES = ("all", "heldout")
"""Values of `data.typefaces`. `all`: every face in every split. `heldout`: the splits share none."""


def faces(split: str, typefaces: str) -> tuple[str, ...]:
    """Names of the faces that the images of a split are set in; `typefaces` is one of CHOICES."""
    if typefaces == "all":
        return ALL
    return TRAIN if split == "train" else HELD_OUT[split]


def path(face: str) -> Path:
    """The TrueType file of a face.

    Raises:
        UserError: matplotlib is installed without its fonts.
    """
    # Found, not imported: importing matplotlib takes longer than planning a study.
    spec = find_spec("matplotlib")
    for package in (spec.submodule_search_locations or []) if spec else []:
        file = Path(package) / "mpl-data" / "fonts" / "ttf" / f"{face}.ttf"
        if file.is_file():
            return file
    raise UserError(
        f"The font {face}.ttf of matplotlib is not installed, and the glyphs are drawn with it; "
        "install matplotlib from its wheel (make sets that up) or choose another data set."
    )


def digests() -> dict[str, str]:
    """sha256 of the file of every face used."""
    return {face: hashlib.sha256(path(face).read_bytes()).hexdigest() for face in ALL}
