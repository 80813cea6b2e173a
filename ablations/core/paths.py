"""Paths of the project's own files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""Root of the checkout, which holds the packages, `conf/` and `results/reference/`."""

CONF = ROOT / "conf"
"""Hydra's configuration directory."""

REFERENCE = ROOT / "results" / "reference"
"""Committed studies."""
