"""`python3 scripts/nearest.py NAME KNOWN...`: make ends with this sentence about a wrong variable."""

import difflib
import sys

name, *known = sys.argv[1:]
near = difflib.get_close_matches(name.upper(), known, 1, 0.5)
print(
    f"error: {name} is not a variable here{f'; did you mean {near[0]}' if near else ''}? There are {', '.join(known)}"
)
