"""Small pieces of text that several commands, tables and pages share."""

import difflib
from collections.abc import Collection, Sequence


def plural(count: float, word: str) -> str:
    """The word as it follows a count: `seed` after 1, else `seeds`."""
    return word if count == 1 else f"{word}s"


def counted(count: int, word: str) -> str:
    """A count with its word: `0 runs`, `1 run`, `1,200 runs`."""
    return f"{count:,} {plural(count, word)}"


def are(count: int) -> str:
    """The verb after a count."""
    return "is" if count == 1 else "are"


def nearest(given: object, known: Collection[str], others: Collection[str] = (), cutoff: float = 0.6) -> str:
    """What was meant in place of a name that is unknown: `did you mean rows?`, else all that there are.

    Args:
        others: names that may be meant as well, but are not listed.
        cutoff: likeness from which a name may be meant, 0 to 1; see `difflib.get_close_matches`.
    """
    for names in (known, others):
        if near := difflib.get_close_matches(str(given), names, 1, cutoff):
            return f"did you mean {near[0]}?"
    return f"there are {', '.join(known) or 'none'}."


def some(items: Sequence[str], separator: str = ", ", most: int = 5) -> str:
    """The first few items, with an ellipsis in the place of the others: `a, b, c, d, e, ...`."""
    return separator.join([*items[:most], *(["..."] if len(items) > most else [])])


def one_line(text: object) -> str:
    """Text without line breaks or runs of spaces."""
    return " ".join(str(text).split())


def shorten(text: str, length: int) -> str:
    """Text of at most `length` characters; an ellipsis stands for what was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
