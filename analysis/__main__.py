"""`python -m analysis`: write tables, figures and the report of a results folder, and print their paths."""

import argparse
import json
import sys
from pathlib import Path

from ablations.core.command import command
from ablations.core.console import show_error
from ablations.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Publish, and list the files by folder. Exit code 1 if there are no results or nothing can be written."""
    from analysis.publish import publish, tables_first
    from analysis.runs.files import REPORT

    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    where = "folder that holds runs/ and plans/; -: given as JSON on standard input"
    parser.add_argument("--results", type=Path, default=Path("results"), help=where)
    parser.add_argument("--force", action="store_true", help="write everything anew even if nothing has changed")
    parser.add_argument("--soon", action="store_true", help="write the tables first, with the costs that are known")
    parser.add_argument("--json", action="store_true", help="print the files as JSON, relative to the results folder")
    parser.add_argument("--claims", type=Path, help="a file of claims to judge by, not the studies' own")
    parser.add_argument("--check-claims", action="store_true", help="of plans, as JSON on standard input, alone")
    parser.add_argument(
        "--pin", metavar="PROTOCOL", help="whose files lie at the top of tables/ and figures/ from now on"
    )
    chosen = parser.parse_args(arguments)
    if chosen.results == Path("-"):
        chosen.results = Path(json.load(sys.stdin))
    try:
        if chosen.check_claims:
            from analysis.claims.beforehand import check

            print(*check(**json.load(sys.stdin), results=chosen.results), sep="\n", end="")
            return 0
        if chosen.soon:
            tables_first(chosen.results)
        files = publish(chosen.results, chosen.force, claims=chosen.claims, look=True)
        if chosen.pin is not None:
            from analysis.studies.places import pin

            name = pin(chosen.results, chosen.pin)
            files = publish(chosen.results, claims=chosen.claims)
            print(f"{chosen.results}/tables and figures are those of {name}; each protocol has its own folder, too.")
    except UserError as error:
        show_error(error)
        return 1
    if chosen.json:
        print(json.dumps([str(path.relative_to(chosen.results)) for path in files]))
        return 0
    files = [path for path in files if path.name != REPORT]
    for folder in dict.fromkeys(path.parent for path in files):
        print(f"{folder}/: {', '.join(_names([path for path in files if path.parent == folder]))}")
    print(f"report: {chosen.results / REPORT}")
    return 0


def _names(files: list[Path]) -> list[str]:
    """Names of files with all their suffixes: `table1 (.csv .html .md .tex)`."""
    forms: dict[str, list[str]] = {}
    for path in files:
        forms.setdefault(path.stem, []).append(path.suffix)
    return [f"{stem} ({' '.join(sorted(suffixes))})" for stem, suffixes in sorted(forms.items())]


if __name__ == "__main__":
    command(main)()
