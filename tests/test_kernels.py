"""Kernels for GPUs: checked on the CPU by Triton's interpreter, which must be chosen before Triton is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.gpu.layout import splits_of, tile

ROOT = Path(__file__).resolve().parent.parent


def test_kernels_against_pytorch():
    pytest.importorskip("triton")
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if not torch.cuda.is_available():
        settings["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/kernels/check.py")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize("rows", [1, 49, 5000, 12345678])
@pytest.mark.parametrize("channels", [4, 24, 100, 144, 1536, 9216])
def test_rows_are_cut_into_parts_without_gaps(rows, channels):
    parts, each = splits_of(rows, channels)
    height, width = tile(channels)
    assert each % height == 0 and height * width == 4096 and width in (16, 32, 64, 128)
    assert (parts - 1) * each < rows <= parts * each and parts <= 256
