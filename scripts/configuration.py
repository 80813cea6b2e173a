"""`make configuration`: docs/configuration.md from the files in conf/, whose comments say what each key is for."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"

HEAD = """# Configuration

Every key with its value in each file of `conf/`. On the command line: `recipe.lr=0.1`; with make:
`ARGS="recipe.lr=0.1 model.width=0.25"`. This page is made from `conf/` by `make configuration`.
"""


def page() -> str:
    """The whole page."""
    files = sorted((ROOT / "conf").rglob("*.yaml"), key=lambda path: (path.parent != ROOT / "conf", path.as_posix()))
    return "\n".join([HEAD, *(line for path in files for line in section(path))]).rstrip() + "\n"


def section(path: Path) -> Iterator[str]:
    """A file: its name, what its head says, and a row for each key that has a value."""
    name, lines = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8").splitlines()
    yield f"## [{name}](../{name})\n"
    head = [line.lstrip("# ") for line in lines[: first_key(lines)] if line.startswith("#") and "@package" not in line]
    prose = [line for line in head if not line.startswith("python -m")]
    if prose:
        yield re.sub(r"\s+", " ", " ".join(prose)).strip() + "\n"
    rows = list(keys(lines[first_key(lines) :]))
    if rows:
        yield "| key | value | meaning |\n|---|---|---|"
        yield from (f"| `{key}` | `{value}` | {meaning} |" for key, value, meaning in rows)
        yield ""


def first_key(lines: list[str]) -> int:
    """Number of the first line that is neither a comment nor empty."""
    return next((k for k, line in enumerate(lines) if line and not line.startswith("#")), len(lines))


def keys(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """(key, value, comment) of a file's lines; a comment goes on in lines that have nothing else."""
    parents: list[tuple[int, str]] = []
    found: list[list[str]] = []
    for line in lines:
        entry = re.match(r"^( *)([\w/]+): *((?:[^#]|(?<! )#)*?) *(?:# ?(.*))?$", line)
        rest = re.match(r"^ +# ?(.*)$", line)
        if entry:
            indent, key, value, comment = len(entry[1]), entry[2], entry[3], entry[4] or ""
            parents = [pair for pair in parents if pair[0] < indent]
            if value:
                found.append([".".join([*(name for _, name in parents), key]), value, comment])
            parents.append((indent, key))
        elif rest and found:
            found[-1][2] += " " + rest[1]
    for key, value, comment in found:
        yield key, value.replace("|", "\\|"), re.sub(r"\s+", " ", comment).strip().replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE.relative_to(ROOT)}", file=sys.stderr)
