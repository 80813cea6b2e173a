"""Masks paths of one machine in text: absolute paths, home folders, drives, shares and file URLs.

A path may hold spaces, quotes, commas and brackets, so where it ends is not always known. In doubt too much is masked,
never too little:

- in a command, a path ends with its argument, or with the quote that Hydra's grammar closes;
- in other text, a path in quotes ends with its quote, any other after the last slash of its line, at the next
  punctuation mark; paths that a command names are also known literally.
"""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MASK = "..."
"""Replaces a path."""

BEFORE = r"""(?<![^\s=:,;(\[{<"'`“‘«|>@&!#])"""
"""A path begins a text, or follows a space, a bracket, a quote or a separator: not the slash in `train/val`."""

START = r"""(?:
    file:/ | [A-Za-z][\w+.-]+:///                   # file:/home/anna, sqlite:////home/anna
  | (?<!http:)(?<!https:)//(?=[^\s/]) | /(?=[^\s/]) # //server/share, /home/anna
  | ~[\w.-]*[/\\] | (?<=[=:,"'`(\[])~\w[\w.-]*      # ~/data, ~anna/data, =~anna; not Hydra's deletion, ~key
  | [A-Za-z]:[\\/] | \\{2,}(?=[^\s\\])              # C:\data, \\server\share
)"""
"""How a path of one machine begins."""

INSIDE = r"""(?: \\. | (?!(?P=quote)(?!\w)). )*"""
"""Text up to the closing quote: one before a letter, as in o'brien, closes nothing."""

QUOTED = rf"""(?P<quote>["'`]) (?P<text> {INSIDE}? ) {BEFORE}{START} {INSIDE}"""
"""Quoted text, from its opening quote to the end of a path in it."""

CLOSE = r"""[:;,.!?)\]}>"'`”’»]"""
IN_TEXT = re.compile(
    rf"{BEFORE}{QUOTED} | {BEFORE}{START} (?:[^\n]*[/\\])? [^\n]*? (?={CLOSE}*(?:\n|$) | {CLOSE}+\s | \ \( )",
    re.VERBOSE | re.DOTALL,
)
IN_ARGUMENT = re.compile(rf"{BEFORE}{QUOTED} | {BEFORE}{START} .*", re.VERBOSE | re.DOTALL)


def mask(value: Any, known: Iterable[str] = ()) -> Any:
    """A value with MASK for each path in its texts, to any depth; numbers and the like stay.

    Args:
        known: paths to mask literally wherever they stand, as `paths_in` finds them in commands.
    """
    longest = sorted({path for path in known if len(path) > 1}, key=len, reverse=True)
    literal = re.compile(f"{BEFORE}(?:{'|'.join(map(re.escape, longest))})") if longest else None

    def masked(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: masked(inner) for key, inner in part.items()}
        if isinstance(part, list | tuple):
            return [masked(inner) for inner in part]
        if isinstance(part, str):
            return IN_TEXT.sub(_replacement, literal.sub("/known", part) if literal else part)
        return part

    return masked(value)


def mask_command(command: str) -> str:
    """A command line with MASK for each path in its arguments.

    A command that holds no path comes back as it is, others quoted anew for the shell.
    """
    try:
        arguments = shlex.split(command)
    except ValueError:  # not written by ablations.core.provenance.command
        return str(mask(command))
    masked = [IN_ARGUMENT.sub(_replacement, argument) for argument in arguments]
    return command if masked == arguments else " ".join(map(shlex.quote, masked))


def paths_in(command: str) -> list[str]:
    """The paths that a command names, as programs print them: without Hydra's quotes and escapes, `~` expanded too."""
    try:
        arguments = shlex.split(command)
    except ValueError:
        return []
    found = []
    for match in (match for argument in arguments for match in IN_ARGUMENT.finditer(argument)):
        path = match[0][len(match["quote"] + match["text"]) :] if match["quote"] else match[0]
        plain = re.sub(r"\\([\\'\",()\[\]{}:= \t])", r"\1", path)
        found += [path, plain]
        if plain.startswith("~"):
            try:
                found.append(str(Path(plain).expanduser()))
            except RuntimeError:  # a user that this machine does not know
                continue
    return [path.rstrip("/\\") for path in found]


def _replacement(match: re.Match[str]) -> str:
    return f"{match['quote']}{match['text']}{MASK}" if match["quote"] else MASK


def texts_with(mark: str, value: Any) -> list[str]:
    """The texts in a value, at any depth, that hold `mark`, each once."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if isinstance(parts, list | tuple):
        return list(dict.fromkeys(found for part in parts for found in texts_with(mark, part)))
    return [parts] if isinstance(parts, str) and mark in parts else []
