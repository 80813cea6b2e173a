"""Where the project's own files are: found once here, so that no module counts its parent folders."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout: what holds the packages, `conf/` and `results/reference/`."""

CONF = ROOT / "conf"
"""Hydra's configuration groups."""

REFERENCE = ROOT / "results" / "reference"
"""Committed studies."""
