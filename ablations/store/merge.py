"""`python -m ablations.merge OTHER_RESULTS`: copies finished runs and plans of another results folder into this one.

Every file of a run is compared with its checksum in result.json, copied to a temporary folder, flushed to disk, read
again and renamed. Nothing is overwritten: the same run with another outcome is a conflict, which is reported, and both
stay as they are. With --keep one of them counts, and the other is kept here, whole, as runs/<run_id>.other-1. After a
stop, the same command continues.

Exit code 0: every finished run there is here; 1: something was left out, and is reported; 2: there is nothing to merge,
or this folder cannot be written; 130: stopped.
"""

import argparse
import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.files import PART, flush_folder, make_folder, read_json, write_json
from ablations.core.run_spec import RUN, SCHEMA, from_json, identity, name
from ablations.core.text import counted
from ablations.store import lease, run_folder, writable
from ablations.store.looks import NAME as LOOKS
from ablations.store.looks import Look, read_looks, write_looks
from ablations.store.plans import parse_plan
from ablations.store.records import Result
from ablations.store.sources import bring_sources

KEEP = ("ours", "theirs", "first")
"""Which outcome of a run counts where there are two; first: that of the run that ended earlier."""

OUTCOMES = {
    "brought in": "brought in",
    "here": "already here",
    "unfinished": "not finished there",
    "damaged": "damaged there",
    "newer": "by a newer version",
    "conflict": "in conflict with what is here",
    "ours": "in conflict and kept as here",
    "theirs": "in conflict and taken from there",
    "busy": "being trained here",
    "misnamed": "passed over",
}
"""Outcomes of a run of the other folder, with the words that are printed."""

LEFT_OUT = ("damaged", "newer", "conflict", "busy", "misnamed")
"""Outcomes that are reported one by one, and make the exit code 1; SETTLED are reported, too."""

SETTLED = KEEP[:2]

SAME = ("weights_sha256", "error", "loss", "test_images")
"""Fields of a result that agree when the same run was trained in both places; its duration may differ."""

LEAVE = ("progress.json", "failure.json", "checkpoint.pt.previous")
"""Files that are not copied: in a finished run's folder they have no meaning."""


class Merged(NamedTuple):
    """Outcome of a run or plan, with a reason."""

    name: str
    outcome: str
    reason: str = ""


def merge(other: Path, results: Path, dry: bool = False, keep: str = "") -> list[Merged]:
    """Copy the runs and plans of another folder into this one; returns the outcome of each.

    Args:
        dry: write nothing, only return what would be done.
        keep: one of KEEP, or empty: conflicts stay.

    Raises:
        UserError: the other folder has no results, or is the same, or this one cannot be written.
    """
    check_folders(other, results)
    if not dry:
        writable.open_results(results)
    found = []
    for path in sorted((other / "runs").iterdir()):
        if run_folder.is_id(path.name):
            found.append(bring(other, results, path.name, dry, keep))
        elif path.is_dir() and not path.name.startswith(".") and not run_folder.is_aside(path.name):
            found.append(Merged(path.name, "misnamed", f"{path}: {misnamed(path)}"))
    for path in sorted((other / "plans").glob("*.json")):
        found.append(merge_plan(path, results, dry))
    found += merge_looks(other, results, dry)
    if not dry:
        bring_sources(other, results)
    return found


def misnamed(folder: Path) -> str:
    """Why a folder whose name is not a run id is not copied, and how to have it copied."""
    run_id = _described(folder)
    if not run_id:
        return "its name is not the 16 hex digits of a run, and it has no run.json that says which run it is"
    return f"it is run {run_id}, so that must be its name; rename it and merge again"


def check_folders(other: Path, results: Path) -> None:
    """Raise UserError unless `other` is a results folder, and another one than `results`."""
    if not (other / "runs").is_dir():
        raise UserError(f"{other} is no results folder: it has no runs/ in it. Give the folder that holds runs/.")
    if results.exists() and other.resolve() == results.resolve():
        raise UserError(f"{other} and {results} are the same folder: there is nothing to merge.")
    if not any((other / "runs").iterdir()) and not any((other / "plans").glob("*.json")):
        raise UserError(f"There are no runs and no plans in {other}: there is nothing to merge.")


def bring(other: Path, results: Path, run_id: str, dry: bool, keep: str = "") -> Merged:
    """Copy one run, unless it is not finished, damaged, or already here; arguments as for `merge`."""
    theirs = other / "runs" / run_id
    found, why = look(theirs, run_id)
    if found is None:
        kind = "unfinished" if why is None else "newer" if run_folder.NEWER in why else "damaged"
        return Merged(run_id, kind, f"{theirs.parent.parent}/{why}" if why else "")
    here, _ = run_folder.check_run(results / "runs" / run_id, run_id)
    outcome = compare(theirs, results / "runs" / run_id, found, here, keep)
    if dry or outcome.outcome in ("here", "conflict"):
        return outcome
    with lease.held(results, run_id) as mine:
        if mine:
            return copy(theirs, results, run_id, found, keep)
    who = lease.holder(results, run_id) or "another process"
    return Merged(run_id, "busy", f"runs/{run_id} is trained here now ({who}): merge again when that has ended")


def look(folder: Path, run_id: str) -> tuple[Result | None, str | None]:
    """The result in a folder of which every file was verified, or why there is none (None: not finished)."""
    found, why = run_folder.check_run(folder, run_id, thorough=True)
    if found and _described(folder) != run_id:
        return None, f"runs/{run_id}/run.json does not describe this run"
    return found, why


def compare(theirs: Path, ours: Path, found: Result, here: Result | None, keep: str = "") -> Merged:
    """Outcome of a verified run of theirs, given the result of the same run here, if any, and which of two counts."""
    run_id = theirs.name
    if here is None:
        return Merged(run_id, "brought in")
    settled = [ours.with_name(name) for name in run_folder.aside(ours.parent.parent, run_id, run_folder.OTHER)]
    known = [(ours, here), *((folder, run_folder.check_run(folder, run_id)[0]) for folder in settled)]
    if any(one and _alike(one, found) and _bits(folder) == _bits(theirs) for folder, one in known):
        return Merged(run_id, "here")
    numbers = f"error {100 * here.error:.2f} % here, {100 * found.error:.2f} % there"
    said = f"runs/{run_id} ({_name(theirs)}): {numbers}"
    if not keep:
        way = "KEEP=ours, theirs or first (the one that ended earlier) says which counts"
        return Merged(run_id, "conflict", f"{said}; both are left as they are. {way}")
    if keep == "first":
        keep = "theirs" if _ended(theirs, found) < _ended(ours, here) else "ours"
    return Merged(run_id, keep, f"{said}; the other is set aside as runs/{run_id}.{run_folder.OTHER}-N")


def copy(theirs: Path, results: Path, run_id: str, found: Result, keep: str = "") -> Merged:
    """Copy a run to a temporary folder, verify the copy and rename it; for the holder of the run's lease."""
    ours, part = results / "runs" / run_id, results / "runs" / f".{run_id}{PART}"
    here, _ = run_folder.check_run(ours, run_id)
    outcome = compare(theirs, ours, found, here, keep)
    if outcome.outcome in ("here", "conflict"):  # finished here between the first look and the lease
        return outcome
    shutil.rmtree(part, ignore_errors=True)  # left by a merge that was stopped
    try:
        part.mkdir()
        for entry in sorted(os.scandir(theirs), key=lambda entry: entry.name):
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in LEAVE:
                shutil.copy2(entry.path, part / entry.name)  # with the time of writing: it need not be read again
                with (part / entry.name).open("rb+") as file:
                    os.fsync(file.fileno())
        flush_folder(part)
        whole, why = look(part, run_id)
        if whole != found:
            return Merged(run_id, "damaged", f"{why or 'it changed'} while it was copied from {theirs}")
        if outcome.outcome == "ours":
            why = f"another outcome of this run, from {theirs.parent.parent}; the one that was here counts"
            run_folder.move_aside(part, run_id, why, run_folder.OTHER)
            return outcome
        if ours.exists():  # another outcome; or unfinished, failed or damaged here: set aside, not deleted
            kind = run_folder.OTHER if here else run_folder.DAMAGED
            why = f"a finished run from {theirs.parent.parent} has come in its place"
            run_folder.move_aside(ours, run_id, why, kind)
        part.rename(ours)
        flush_folder(ours.parent)
    except OSError as error:
        raise writable.unwritable(results, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return outcome


def merge_plan(path: Path, results: Path, dry: bool) -> Merged:
    """Copy a plan: runs that the plan of the same study and protocol here lacks are added to it."""
    title, theirs = f"plans/{path.name}", read_json(path)
    if theirs and isinstance(theirs.get("schema"), int) and theirs["schema"] > SCHEMA:
        return Merged(title, "newer", f"{path} {run_folder.NEWER}: update the code here")
    plan = parse_plan(theirs)
    if not theirs or not plan or plan.unreadable or path.name != plan.file_name:
        return Merged(title, "damaged", f"{path} is no plan that can be read")
    ours = read_json(results / title)
    if ours is None or not parse_plan(ours):
        ours = {**theirs, "runs": []}
    elif not plan.scope_id and ours["protocol"] != theirs["protocol"]:
        return Merged(title, "conflict", f"{title} has another protocol here; both are left as they are")
    known = {entry["run_id"] for entry in ours["runs"]}
    new = [entry for entry in theirs["runs"] if entry["run_id"] not in known]
    if not new:
        return Merged(title, "here")
    both = {**ours.get("protocols", {}), **theirs.get("protocols", {})}
    protocols = {"protocols": both} if both else {}
    if not dry:
        make_folder(results / "plans", results)
        write_json(results / title, {**ours, **protocols, "runs": [*ours["runs"], *new]})
    return Merged(title, "brought in", f"{counted(len(new), 'run')} more")


def merge_looks(other: Path, results: Path, dry: bool) -> list[Merged]:
    """Bring the looks that were taken there; of each study all or none."""
    try:
        theirs, ours = read_looks(other).taken, list(read_looks(results).taken)
    except UserError as error:
        return [Merged(LOOKS, "damaged", str(error))]
    found = []
    for study, scope in dict.fromkeys((look.study, look.scope_id) for look in theirs):
        there, here = ([one for one in some if (one.study, one.scope_id) == (study, scope)] for some in (theirs, ours))
        name = f"{LOOKS}, {study}-{scope}"
        both = together(here, there)
        if both is None:
            why = (
                f"{name}: a look of the plan was taken here and there, of the same cells but with other verdicts, so "
                f"that no further look follows from both. Those here are kept. Delete {results / LOOKS} to have all "
                "looks taken anew, of the runs that are here now"
            )
            found.append(Merged(name, "conflict", why))
        else:
            ours = [one for one in ours if one not in here] + both
            found.append(Merged(name, "here" if both == here else "brought in"))
    if not dry and any(one.outcome == "brought in" for one in found):
        write_looks(results, ours)
    return found


def together(here: Sequence[Look], there: Sequence[Look]) -> list[Look] | None:
    """The looks that two folders took at one study, by time; None where they contradict each other.

    The same look in both counts once. Unplanned looks are readings of the verdicts, whoever read: all are kept. Looks
    of a plan follow from one another, so those of one folder must go on where those of the other end; of other cells
    than those here they are left out, since the plan's looks are then taken anew, of all cells.
    """
    kept = list(here)
    for plan in dict.fromkeys(look.plan for look in there):
        mine, theirs = ([look for look in some if look.plan == plan] for some in (here, there))
        if plan and mine and {*mine[0].seeds} != {*theirs[0].seeds}:
            continue
        if plan and any(_reading(a) != _reading(b) for a, b in zip(mine, theirs, strict=False)):
            return None
        seen = [_reading(look) for look in mine]
        kept += theirs[len(mine) :] if plan else [look for look in theirs if _reading(look) not in seen]
    return sorted(kept, key=lambda look: _moment(look.when) or 0.0)


def say(found: list[Merged], other: Path, results: Path, dry: bool) -> None:
    """Print counts, then a line for each run or plan that was left out."""
    out = console()
    kinds = {"plans": "plans/", "looks": LOOKS, "runs": ""}
    of = [next(kind for kind, start in kinds.items() if one.name.startswith(start)) for one in found]
    for kind in ("runs", "plans", *(["looks"] if "looks" in of else [])):
        mine = [one for one, its in zip(found, of, strict=True) if its == kind]
        counts = Counter(one.outcome for one in mine)
        text = ", ".join(f"{counts[outcome]} {words}" for outcome, words in OUTCOMES.items() if counts[outcome])
        out.print(f"{kind}: {text or 'none'}", markup=False)
    for one in found:
        if one.outcome in (*LEFT_OUT, *SETTLED):
            out.print(f"{OUTCOMES[one.outcome]}: {one.reason}", markup=False)
    if dry:
        out.print("Nothing was written (--dry-run).")
    elif any(one.outcome in ("brought in", *SETTLED) for one in found):
        out.print(f"make tables RESULTS={shlex.quote(str(results))} shows them.", markup=False)


def main(arguments: list[str] | None = None) -> int:
    """Merge and print the outcome."""
    parser = argparse.ArgumentParser(prog="python -m ablations.merge", description=__doc__)
    parser.add_argument("other", type=Path, help="results folder of another machine")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where to bring its runs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing here")
    parser.add_argument("--keep", choices=KEEP, default="", help="which outcome counts where a run has two")
    options = parser.parse_args(arguments)
    try:
        found = merge(options.other, options.results, options.dry_run, options.keep)
    except UserError as error:
        show_error(error)
        return 2
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on: what was brought in is kept.", file=sys.stderr)
        return 130
    say(found, options.other, options.results, options.dry_run)
    return 1 if any(one.outcome in LEFT_OUT for one in found) else 0


def _described(folder: Path) -> str:
    """The id of the run that a folder's run.json describes; empty where it describes none."""
    described = read_json(folder / "run.json") or {}
    with suppress(KeyError, TypeError, ValueError):
        return identity(from_json(described), RUN, described["numerics"])
    return ""


def _alike(one: Result, other: Result) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in SAME)


def _ended(folder: Path, found: Result) -> float:
    """When a run ended, in seconds since 1970: its beginning and what it took; else when its result was written."""
    started = _moment((read_json(folder / "provenance.json") or {}).get("started"))
    return started + found.seconds.total if started else (folder / "result.json").stat().st_mtime


def _moment(when: object) -> float | None:
    """A `timestamp` as seconds since 1970; None where it is none."""
    with suppress(ValueError):
        return datetime.strptime(str(when), "%Y-%m-%dT%H:%M:%S%z").timestamp()
    return None


def _reading(look: Look) -> Look:
    """A look without its time."""
    return look.model_copy(update={"when": None})


def _bits(folder: Path) -> bytes | None:
    """Content of correct.npy."""
    with suppress(OSError):
        return (folder / "correct.npy").read_bytes()
    return None


def _name(folder: Path) -> str:
    """Short name of a run."""
    with suppress(KeyError, TypeError, ValueError):
        return name(from_json(read_json(folder / "run.json") or {}))
    return "?"
