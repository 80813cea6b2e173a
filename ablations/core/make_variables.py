"""`python -m ablations.core.make_variables MODULE ...`: runs a module, with make's variables in its overrides.

In a word `key=$NAME` or `key=$NAME/rest` the variable is read from the environment and quoted by the grammar of
Hydra, so that any name of a folder arrives as it is. All other words are passed on unchanged.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence

PLAIN = re.compile(r"(?:[A-Za-z_]|\.{0,2}/)[\w./-]*", re.ASCII)
WORDS = ("null", "true", "false", "nan", "inf")
"""Values that Hydra does not read as text."""

NUMBERS = {
    "SEEDS": "SEEDS=3 trains each network three times, with the seeds 0, 1 and 2; SEEDS=3..8 goes on up to eight times "
    "where a claim is not decided",
    "WORKERS": "WORKERS=2 trains two runs at once",
}
"""Variables that are whole numbers from 1, with an example."""

OPTIONS = ("cell", "config-dir", "groups", "keep", "protocol", "shuffle", "study", "watch", "width")
"""Options of commands that make has a variable for; it hands on others in ARGS."""

NUMBER = r"0*[1-9][0-9]*"


def quote(value: str) -> str:
    r"""A text as the value of an override, quoted only where Hydra would read it otherwise.

    Within quotes Hydra takes a backslash as special only before a quote, and OmegaConf only before `${`: backslashes in
    front of those, and at the end, are doubled.
    """
    if value == "???":  # OmegaConf reads that as a value that is missing, quoted or not
        return '"./???"'
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    value = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    value = re.sub(r'(\\*)"', r"\1\1\\" + '"', value)
    return '"' + re.sub(r"(\\+)\Z", r"\1\1", value) + '"'


def option(name: str, value: str = "") -> str:
    """An option as users of either type it: `--width (make: WIDTH=)`, `--sd 0.3 (make: ARGS="--sd 0.3")`."""
    words = f"--{name} {value}".rstrip()
    variable = f"{name.upper().replace('-', '_')}={value}" if name in OPTIONS else f'ARGS="{words}"'
    return f"{words} (make: {variable})"


def filled(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The words with variables in place of their names. KeyError for a variable that is not set."""
    return [re.sub(r"=\$([A-Z_]+)(.*)\Z", lambda m: "=" + quote(variables[m[1]] + m[2]), word) for word in words]


def check_numbers(variables: Mapping[str, str]) -> None:
    """Exit with a sentence where a variable that is a number is not one: SEEDS=0, SEEDS=a."""
    for name, meaning in NUMBERS.items():
        value = variables.get(name, "").strip()
        form = rf"{NUMBER}(\.\.{NUMBER})?" if name == "SEEDS" else NUMBER
        if value and not re.fullmatch(form, value):
            print(f"error: {name}={value} is no whole number from 1: {meaning}.", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    check_numbers(os.environ)
    os.execv(sys.executable, [sys.executable, "-m", *filled(sys.argv[1:], os.environ)])
