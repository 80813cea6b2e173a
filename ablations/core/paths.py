"""Paths of the project's own files."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

ROOT = PACKAGE.parent
"""The folder that holds the packages: a checkout, or site-packages. `python -m` in it finds no file of a user's."""

CHECKOUT = not (PACKAGE / "conf").is_dir()
"""Whether this is a checkout; in an installed package `conf/` lies inside (see setup.py), and there is no git."""

CONF = ROOT / "conf" if CHECKOUT else PACKAGE / "conf"
"""Hydra's configuration groups."""

REFERENCE = ROOT / "results" / "reference"
"""Committed studies; an installed package has none."""
