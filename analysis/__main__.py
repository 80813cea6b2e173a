"""`python -m analysis`: write tables, figures and the report from the results there are, and say where they lie."""

import argparse
import sys
from pathlib import Path

from ablations.core.command import command
from ablations.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Publish, and list what there is by folder. Exit code 1, with a sentence, where there is nothing to publish."""
    from analysis.publish import publish, tables_first
    from analysis.runs.files import REPORT

    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds runs/ and plans/")
    parser.add_argument("--force", action="store_true", help="write everything anew even if nothing has changed")
    parser.add_argument("--soon", action="store_true", help="write the tables first, with the costs that are known")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.soon:
            tables_first(chosen.results)
        files = publish(chosen.results, chosen.force)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = [path for path in files if path.name != REPORT]
    for folder in dict.fromkeys(path.parent for path in files):
        print(f"{folder}/: {', '.join(_names([path for path in files if path.parent == folder]))}")
    print(f"report: {chosen.results / REPORT}")
    return 0


def _names(files: list[Path]) -> list[str]:
    """`table1 (.csv .html .md .tex)`: names with the forms that each comes in."""
    forms: dict[str, list[str]] = {}
    for path in files:
        forms.setdefault(path.stem, []).append(path.suffix)
    return [f"{stem} ({' '.join(sorted(suffixes))})" for stem, suffixes in sorted(forms.items())]


if __name__ == "__main__":
    command(main)()
