"""Names of protocols in a results folder: of their folders in tables/ and figures/, made once and kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from ablations.core.errors import UserError
from ablations.core.files import read_json, write_json
from ablations.core.make_variables import option

FILE = "protocols.json"
"""Names by id, in the order in which they were made, and the id of the one that is pinned."""

LONGEST = 60
"""Characters of a name before its digits."""


@dataclass(frozen=True)
class ProtocolFolders:
    """Names of protocols by id, the first published first; `pinned` is the id of one of them, or empty."""

    names: Mapping[str, str]
    pinned: str = ""

    def top(self, there: Mapping[str, object]) -> str:
        """The id of the one, of those that are there, whose files lie in tables/ and figures/ themselves."""
        return next(one for one in (self.pinned, *self.names, *there) if one in there)

    def of(self, protocol_id: str) -> str:
        """The name of a protocol's folder; empty where the results never had another, so that it needs none."""
        return self.names[protocol_id] if len(self.names) > 1 and protocol_id in self.names else ""


def read_folders(results: Path) -> ProtocolFolders:
    """The names that were given so far; an entry that cannot be the name of a folder is left out."""
    content = read_json(results / FILE) or {}
    names, pinned = content.get("names"), str(content.get("pinned"))
    kept: dict[str, str] = {}
    for one, name in names.items() if isinstance(names, dict) else ():
        if isinstance(name, str) and name and name == slug(name) and name not in kept.values():
            kept[one] = name
    return ProtocolFolders(kept, pinned if pinned in kept else "")


def write_folders(results: Path, folders: ProtocolFolders) -> None:
    """Keep the names."""
    write_json(results / FILE, {"schema": 1, "names": dict(folders.names), "pinned": folders.pinned}, flush=False)


def make_name(text: str, protocol_id: str, taken: Mapping[str, str]) -> str:
    """A name for the folder of a protocol: `cifar10-10ep-lr-0.01-7f3a`, with as many digits as it needs."""
    start, end = slug(text)[:LONGEST].strip("-."), slug(protocol_id)[:16]
    ends = chain((end[:4], end[:8], end), (f"{end}-{number}" for number in count(2)))
    return next(name for name in (f"{start}-{one}".strip("-.") for one in ends) if name not in taken.values())


def slug(text: str) -> str:
    """Text as a name of a file: small letters and digits of ASCII, points, and hyphens for everything between."""
    return re.sub(r"[^0-9a-z.]+", "-", text.lower().replace(",", "").replace("×", "x")).strip("-.")


def means(word: str, protocol_id: str, names: Mapping[str, str]) -> bool:
    """Whether a word may mean a protocol: its id or name begins so, or the name has it as a part; no word: any."""
    name = names.get(protocol_id, protocol_id)
    part = bool(slug(word)) and f"-{slug(word)}-" in f"-{name}-"
    return part or protocol_id.startswith(word) or name.startswith(word)


def choose(word: str, names: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """The id of the one protocol that a word such as `lr 0.01` means, see `means`.

    Args:
        names: by id; titles: by id, in the order in which they are listed.

    Raises:
        UserError: none or several fit; the sentence lists what there is.
    """
    listed = "; ".join(names.get(one, one) + (f" ({title})" if title else "") for one, title in titles.items())
    whole = [one for one in titles if word in (one, names.get(one, one))]
    fit = whole or [one for one in titles if means(word, one, names)]
    if len(fit) == 1 and word:
        return fit[0]
    if not word:
        raise UserError(f"There are {len(titles)} protocols: say which with {option('protocol')}. {listed}.")
    several = "several of the protocols" if fit else "none of the protocols"
    raise UserError(f"PROTOCOL={word} fits {several} there are: {listed}.")
