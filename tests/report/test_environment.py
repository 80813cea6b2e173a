"""The page needs nothing that trains."""

import subprocess
import sys

from ablations.core.paths import ROOT
from tests.sweeps import environment


def test_the_page_imports_only_core_and_store() -> None:
    code = (
        "import sys, analysis.report.page\n"
        "parts = {name.split('.')[1] for name in sys.modules if name.startswith('ablations.')}\n"
        "sys.exit(f'imports {parts}' if parts - {'core', 'store'} or 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
