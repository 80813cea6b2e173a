"""GPU benchmarks: they run on a machine that has torch, Triton and numpy and nothing else."""

import subprocess
import sys

import pytest

from ablations.core.paths import ROOT

BARE = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {"omegaconf", "hydra", "pydantic", "pandas", "scipy", "PIL", "matplotlib", "yaml", "rich", "psutil"}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(name, name=name)

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ABSENT else found(name, *rest)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("script", ["gpu"])
def test_they_import_torch_triton_and_numpy_only(script):
    code = f"{BARE}\nimport benchmarks.{script}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
