"""Takes out of text what it says of one machine alone: paths that begin at its root or in somebody's home."""

import re
from typing import Any

MASK = "..."
"""Stands in place of a path."""

START = r"""(?:file://)?(?:/(?![/\s])|~[\w.-]*/|[A-Za-z]:[\\/])"""
"""How an absolute path begins: at the root, in a home folder, on a drive."""

QUOTED = re.compile(rf"""(?<![^\s=(\[])(["'])((?:(?!\1)[^\n])*?(?<![^\s=:,;(\[{{<"'`|>])){START}[^"'\n]+""")
"""A path in quotes: it may have spaces, up to the next quote."""

PLAIN = re.compile(rf"""(?<![^\s=:,;(\[{{<"'`|>]){START}[^\s"'`,;)\]}}>|]*""")
"""A path that stands by itself, or after `=`, a comma or a bracket; not the slash in `train/val` or in https://."""


def mask(value: Any) -> Any:
    """A value with MASK for each absolute path in its texts, to any depth; lists, records and the rest stay."""
    if isinstance(value, dict):
        return {key: mask(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [mask(part) for part in value]
    if isinstance(value, str):
        return PLAIN.sub(MASK, QUOTED.sub(rf"\1\2{MASK}", value))
    return value


def texts_with(mark: str, value: Any) -> list[str]:
    """The texts in a value, at any depth, that hold `mark`, each once."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if isinstance(parts, list | tuple):
        return list(dict.fromkeys(found for part in parts for found in texts_with(mark, part)))
    return [parts] if isinstance(parts, str) and mark in parts else []
