"""Differences between committed files and those that their data gives, a few lines for each file."""

import difflib
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from analysis.reference.format import LIMIT, Packed

TEXT = (".csv", ".html", ".json", ".md", ".svg", ".tex")
PICTURES = (".svg", ".png")

DRAWING = re.compile(rb"<svg\b.*?</svg>", re.DOTALL)
"""A figure inside a page."""

LINES, LETTERS = 8, 160
"""Lines of a difference that are shown, and characters of each."""

DREW = ("matplotlib", "numpy", "pandas", "scipy")
"""Packages that what is published may depend on."""


def versions() -> dict[str, str]:
    """Installed versions of the packages in DREW."""
    return {name: version(name) for name in DREW}


def compare(given: Mapping[str, bytes], folder: Path, pictures: bool = True) -> list[str]:
    """What of `folder` is not as the data gives it, a text for each file.

    Args:
        given: content by name: all that the folder should have, and all that tables/ and figures/ may have.
        pictures: compare figures, too; without it those in a page are passed over.
    """
    complaints = []
    for name, content in given.items():
        if not pictures and name.endswith(PICTURES):
            continue
        path = folder / name
        if not path.is_file():
            complaints.append(f"{name}: missing")
            continue
        committed = path.read_bytes()
        if not pictures and name.endswith(".html"):
            committed, content = _without_pictures(committed), _without_pictures(content)
        if committed != content:
            complaints.append(f"{name}: {_difference(name, committed, content)}")
    return complaints + [f"{name}: nothing in the data gives this file" for name in strays(given, folder)]


def strays(given: Mapping[str, bytes], folder: Path) -> list[str]:
    """Files in tables/ and figures/ that are not among those given."""
    there = [path for part in ("tables", "figures") for path in sorted((folder / part).rglob("*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in there]
    return [name for name in names if name not in given]


def too_large(folder: Path) -> list[str]:
    """Files that may not be committed."""
    found = [(path, path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        f"{path.relative_to(folder)}: {size:,} bytes, a committed file may have {LIMIT:,}"
        for path, size in found
        if size > LIMIT
    ]


def contradictions(packed: Packed) -> list[str]:
    """Runs whose result differs from their per-image bits or their last epoch."""
    told = []
    for one in packed.runs:
        if one.state != "done":
            continue
        name, error, images = f"run {packed.run_id(one.run)}", one.result["error"], one.result["test_images"]
        if len(one.correct):
            wrong = images - int(np.unpackbits(one.correct, count=images).sum())
            if not np.isclose(error, wrong / images, rtol=0, atol=1e-9):
                told.append(f"{name}: its error is {error}, by its bits {wrong} of {images:,} images are wrong")
        last = one.curve[-1] if one.curve else {}
        for key, column in (("error", "test_error"), ("top5_error", "test_top5_error"), ("loss", "test_loss")):
            if last.get(column) is not None and last[column] != one.result.get(key):
                told.append(f"{name}: its {key} is {one.result.get(key)}, in its last epoch {last[column]}")
    return told


def _difference(name: str, committed: bytes, content: bytes) -> str:
    """The first lines of a difference, committed (-) and as the data gives it (+)."""
    if not name.endswith(TEXT):
        return "not the bytes that the data gives"
    old, new = (text.decode(errors="replace").splitlines() for text in (committed, content))
    if max(len(old), len(new)) > 2000:  # difflib takes minutes: lines at equal places, then
        pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
        lines = [line for a, b in pairs for line in (f"-{a}", f"+{b}")]
    else:
        lines = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
        lines = [line for line in lines if not line.startswith("@@")]
    more = [f"and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    where = [_around(lines, k) for k in range(min(LINES, len(lines)))]
    counts = [] if len(old) == len(new) else [f"{len(old)} lines committed, {len(new)} from the data"]
    return "\n    ".join(["not what the data gives (- committed, + from the data)", *where, *more, *counts])


def _around(lines: list[str], k: int) -> str:
    """A line of a difference, cut around the place where it first differs from its partner."""
    line = lines[k]
    partner = lines[k + 1] if line[0] == "-" and k + 1 < len(lines) else lines[k - 1] if k else ""
    same = next((i for i, (a, b) in enumerate(zip(line[1:], partner[1:], strict=False)) if a != b), 0)
    start = max(1, same + 1 - LETTERS // 2) if len(line) > LETTERS else 1
    cut = line[start : start + LETTERS]
    return f"{line[0]}{'…' if start > 1 else ''}{cut}{'…' if start + LETTERS < len(line) else ''}"


def _without_pictures(page: bytes) -> bytes:
    """A page with nothing inside its drawings."""
    return DRAWING.sub(b"<svg/>", page)
