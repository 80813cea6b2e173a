"""Where the tables and figures of each protocol lie: a folder of its own, and the top for the first one or a pinned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablations.core.text import plural
from ablations.store.protocol_folders import ProtocolFolders, choose, make_name, read_folders, write_folders
from analysis.runs.files import STAMP, read_json
from analysis.studies.assemble import Section


def named(results: Path, by_scope: dict[str, list[Section]]) -> ProtocolFolders:
    """The names that there are, and new ones for the protocols that have none yet; nothing is written.

    Of several new ones the first is the one planned first. Earlier versions named folders by id, all but that of the
    protocol whose files lay at the top: it stays there.
    """
    known, before = read_folders(results), (read_json(results / STAMP) or {}).get("figures") or {}
    new = [scope for scope in by_scope if scope not in known.names]
    names = dict(known.names)
    for scope in sorted(new, key=lambda one: (f"figures/{one}" in before, _written(by_scope[one]))):
        names[scope] = make_name(_words(by_scope[scope][0]), scope, names)
    return replace(known, names=names)


def places(folders: ProtocolFolders, there: Sequence[str]) -> dict[str, list[Path]]:
    """By protocol, the folders below tables/ and figures/ that its files lie in; its own comes last."""
    top = folders.top(dict.fromkeys(there))
    return {
        one: [*([Path()] if one == top else []), *([Path(name)] if (name := folders.of(one)) else [])] for one in there
    }


def pin(results: Path, word: str) -> str:
    """Have the files at the top be those of the protocol that `word` means from now on; returns its name.

    Raises:
        UserError: none or several fit.
    """
    known = read_folders(results)
    there = [one for one in known.names if not known.of(one) or (results / "tables" / known.of(one)).is_dir()]
    pinned = choose(word, known.names, dict.fromkeys(there, ""))
    write_folders(results, replace(known, pinned=pinned))
    return known.names[pinned]


def _written(sections: Sequence[Section]) -> float:
    """When the protocol was planned; runs of no plan come last."""
    written = min(section.runs["written"].astype(float).max() for section in sections)
    return float("inf") if written != written else written


def _words(section: Section) -> str:
    """`cifar10 10ep lr 0.01`: data, epochs, and what else sets the protocol apart."""
    data, epochs = (section.cells[axis].iloc[0] for axis in ("data", "epochs"))
    said = (data, f"{epochs} {plural(epochs, 'epoch')}")
    return " ".join([f"{data} {epochs}ep", *(part for part in section.protocol.split(", ") if part not in said)])
