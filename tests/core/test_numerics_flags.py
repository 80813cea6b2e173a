"""Numerics flags of a process, set in one of its own: they cannot all be taken back."""

import subprocess
import sys

import pytest

from ablations.core.paths import ROOT

CODE = """
import torch
from ablations.core.device import fix_numerics
fix_numerics({deterministic})
assert not torch.backends.cudnn.allow_tf32
assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
assert torch.are_deterministic_algorithms_enabled() is {deterministic}
if {deterministic}:
    assert not torch.utils.deterministic.fill_uninitialized_memory, "half as many launches again"
"""


@pytest.mark.parametrize("deterministic", [False, True])
def test_sums_are_in_float32_and_deterministic_runs_fill_no_memory(deterministic):
    code = CODE.format(deterministic=deterministic)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
