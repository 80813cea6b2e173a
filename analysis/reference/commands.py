"""Committed studies, which cannot drift from their data: pack one, check them, draw them anew, get the runs back.

    python -m analysis.reference pack RESULTS FOLDER     from a results folder to a folder that can be committed
    python -m analysis.reference check [FOLDER ...]      is everything published what its data gives, to the letter?
    python -m analysis.reference draw [FOLDER ...]       publish anew from the data, after a change that was meant
    python -m analysis.reference unpack FOLDER RESULTS   a results folder again, for make explain, tables, notebooks

Without FOLDER: all under results/reference that have a study.json. Paths of this machine never come into a packed
study: each is replaced by `...`, in commands, reasons and wherever else it stands. Exit code 0: done, nothing differs;
1: something differs, or there is an error, which is told in a sentence.
"""

import argparse
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablations.core.console import show_error
from ablations.core.errors import UserError
from ablations.core.paths import REFERENCE
from ablations.core.text import counted
from analysis import publish
from analysis.reference import compare
from analysis.reference.format import BITS, FILES, LIMIT, STUDY, Packed, to_files
from analysis.reference.mask_paths import MASK, texts_with
from analysis.reference.pack import gather, lay_out
from analysis.reference.reader import from_files
from analysis.runs.files import REPORT, read_json, write, write_json

DRAWN = "drawn.json"
"""Versions of the packages that drew what is published: another matplotlib draws other lines."""

COSTS = "complexity.json"
"""What networks cost: measured anew from the code, so never committed."""

STEP = 50_000
"""Bytes by which figures inside a page are cut, at least, until it may be committed; they are files beside it, too."""

LEFT_OUT = ("-column.svg", ".png")
"""Ends the names of figures that are not committed: the same as SVG are, and `unpack` with `make tables` draws them."""


def pack_study(results: Path, folder: Path, protocol: str = "") -> list[str]:
    """Write a study's data and all that is published of it into `folder`. Returns what there is to say of that.

    Raises:
        UserError: `gather` refuses; something else lies there; a file is too large; runs contradict themselves.
    """
    if not (folder / STUDY).exists() and any((folder / name).exists() for name in (*FILES, "tables", "report.html")):
        raise UserError(f"{folder} has files that were not packed by this command: choose another folder.")
    packed, said = gather(results, protocol), []
    files = to_files(packed)
    if BITS not in files and any(len(run.correct) for run in packed.runs):
        packed = replace(packed, runs=tuple(replace(run, correct=run.correct[:0]) for run in packed.runs))
        files = to_files(packed)
        said.append(f"The bits of all test images take more than {LIMIT:,} bytes and are left out.")
    if wrong := compare.contradictions(packed):
        raise UserError(f"{results} contradicts itself: {'; '.join(wrong[:3])}.")
    with tempfile.TemporaryDirectory() as place:
        if (results / COSTS).exists():
            shutil.copy(results / COSTS, place)
        given = published(packed, Path(place))
    if lost := [name for name, content in files.items() if given.get(name) != content]:
        raise UserError(
            f"{', '.join(lost)} would not come back as packed: {results} has what this version cannot keep."
        )
    if large := [f"{name} ({len(content):,})" for name, content in given.items() if len(content) > LIMIT]:
        raise UserError(f"A committed file may have {LIMIT:,} bytes: too large are {', '.join(large)}.")
    _write(given, folder)
    for name in {*FILES} - {*given}:
        (folder / name).unlink(missing_ok=True)
    masked = texts_with(MASK, [packed.plans, *([run.reason, run.provenance] for run in packed.runs)])
    said += [f"Paths of this machine stand as {MASK} in: {text}" for text in masked[:3]]
    said += [f"and in {len(masked) - 3} other texts"] if len(masked) > 3 else []
    total = sum(len(content) for content in given.values())
    return [*said, f"{folder}: {counted(len(packed.runs), 'run')} in {len(given)} files of {total / 1e6:.2f} MB."]


def check_study(folder: Path, place: Path) -> tuple[int, list[str]]:
    """How many files of a committed study are what its data gives, and a text for each thing that is not as it should.

    Args:
        place: a folder to work in; what networks cost is measured once for all that are checked there.

    Raises:
        UserError: the data cannot be read.
    """
    packed = from_files(folder)
    given = published(packed, place)
    drawn = read_json(folder / DRAWN) or {}
    pictures = drawn.get("matplotlib") in (None, compare.versions()["matplotlib"])
    wrong = [*compare.contradictions(packed), *compare.compare(given, folder, pictures), *compare.too_large(folder)]
    others = [f"{name} {drawn.get(name)}, here {v}" for name, v in compare.versions().items() if drawn.get(name) != v]
    if wrong and others:
        wrong.append(f"drawn with other versions, which may be why: {'; '.join(others)}")
    return len([name for name in given if pictures or not name.endswith(compare.PICTURES)]), wrong


def draw_study(folder: Path, place: Path) -> int:
    """Publish a committed study anew from its data; how many files that are. `place` as for `check_study`.

    Raises:
        UserError: the data cannot be read.
    """
    given = {name: part for name, part in published(from_files(folder), place).items() if name not in FILES}
    _write(given, folder)
    return len(given)


def published(packed: Packed, place: Path) -> dict[str, bytes]:
    """All files of a committed study by name: its data, packed once more from the runs that they give, and the rest."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        results = Path(name)
        lay_out(packed, results)
        if (place / COSTS).exists():
            shutil.copy(place / COSTS, results)
        paths = _publish(results)
        shutil.copy(results / COSTS, place)
        shown = {path.relative_to(results).as_posix(): path.read_bytes() for path in paths}
        shown[f"tables/{publish.RUNS}"] = shown.pop(publish.RUNS)  # the study's data have its name
        return {
            **to_files(gather(results)),
            **{name: content for name, content in shown.items() if not name.endswith(LEFT_OUT)},
        }


def _publish(results: Path) -> list[Path]:
    """Publish, with only so many figures inside the page that it may be committed; those left out are named there."""
    room: int | None = None
    while True:
        paths = publish.publish(results, room=room)
        page = (results / REPORT).read_bytes()
        if len(page) <= LIMIT or room == 0:
            return paths
        room = sum(map(len, compare.DRAWING.findall(page))) if room is None else room
        room = max(0, room - max(STEP, len(page) - LIMIT))


def _write(given: Mapping[str, bytes], folder: Path) -> None:
    """Write files, and delete what earlier ones left in tables/ and figures/."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in given.items():
        write(folder / name, content, folder)
    write_json(folder / DRAWN, dict(compare.versions()))
    for name in compare.strays(given, folder):
        (folder / name).unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.reference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pack", help="from a results folder to one that can be committed")
    one.add_argument("results", type=Path)
    one.add_argument("folder", type=Path)
    one.add_argument("--protocol", default="", help="name or id of a protocol, where there are several")
    for name, words in (("check", "compare committed studies with their data"), ("draw", "publish them anew")):
        commands.add_parser(name, help=words).add_argument("folders", type=Path, nargs="*")
    one = commands.add_parser("unpack", help="a results folder again")
    one.add_argument("folder", type=Path)
    one.add_argument("results", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "pack":
            print(*pack_study(chosen.results, chosen.folder, chosen.protocol), sep="\n")
            return 0
        if chosen.command == "unpack":
            lay_out(from_files(chosen.folder), chosen.results)
            place = shlex.quote(str(chosen.results))
            print(f"{chosen.results}: the runs of {chosen.folder}; make tables RESULTS={place}")
            return 0
        return _each(chosen.command, chosen.folders or committed())
    except UserError as error:
        show_error(error)
        return 1


def committed() -> list[Path]:
    """Folders under results/reference that hold a packed study."""
    return sorted(path.parent for path in REFERENCE.glob(f"*/{STUDY}"))


def _each(command: str, folders: Sequence[Path]) -> int:
    """Check or draw folders, one after the other."""
    failed = False
    with tempfile.TemporaryDirectory() as place:
        for folder in folders:
            if command == "draw":
                print(f"{folder}: {draw_study(folder, Path(place))} files drawn")
                continue
            count, wrong = check_study(folder, Path(place))
            failed = failed or bool(wrong)
            print(*(f"{folder}/{text}" if ": " in text else text for text in wrong), sep="\n", end="\n" * bool(wrong))
            if not wrong:
                print(f"{count} files of {folder} are what its data gives")
    if not folders:
        print(f"There is no packed study under {REFERENCE} (make reference-pack).")
    return int(failed)
