"""Kernels for GPUs: checked on the CPU by Triton's interpreter, which must be chosen before Triton is imported."""

import importlib
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from ablations.core.paths import ROOT
from model.gpu.layout import PARTS, TILE, splits_of, tile


def test_kernels_against_pytorch():
    pytest.importorskip("triton")
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if not torch.cuda.is_available():
        settings["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests/kernels/check.py")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


SIZES = {"M", "units", "rows", "splits", "each", "H", "W", "HO", "WO"}
FLOATS = {"means", "squares", "mean", "scale", "running_mean", "running_var", "weight", "bias", "partial"}
FLOATS |= {"dweight", "dbias"}


def compiled(kernel: Any, **constants: Any) -> str:
    """The PTX of a kernel on bfloat16 activations for Hopper; the compiler needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kinds = {**dict.fromkeys(SIZES, "i32"), **dict.fromkeys(FLOATS, "*fp32"), "source": "*i32", "target": "*i32"}
    kinds |= {"eps": "fp32", "momentum": "fp32", **dict.fromkeys(constants, "constexpr")}
    signature = {name: kinds.get(name, "*bf16") for name in kernel.arg_names}
    aligned = {(k,): [["tt.divisibility", 16]] for k, kind in enumerate(signature.values()) if kind.startswith("*")}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, constexprs=values, attrs=aligned)
    return str(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"])


def test_kernels_compile_for_a_gpu_with_wide_loads(tmp_path, monkeypatch):
    """Of 180 channels, say, rows begin at multiples of 8 bytes: loads of so many, not of single numbers."""
    tl = pytest.importorskip("triton.language")
    from model.gpu import depthwise_kernels as depthwise
    from model.gpu import norm_kernels as norm

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    tiles = {"ACC": tl.float32, "ALIGN": 4, "BM": 64, "BC": 64}
    assert "ld.global.v2.b32" in compiled(norm.moments, **tiles)
    assert "st.global.v2.b32" in compiled(norm.apply, RELU=True, ORDER=True, ADD=False, PARTS=64, **tiles)
    assert "ld.global.v2.b32" in compiled(norm.sums, RELU=True, ORDER=False, ADD=True, TWO=True, **tiles)
    assert "st.global.v2.b32" in compiled(norm.back, RELU=True, ORDER=True, PARTS=64, **tiles)
    for kernel in (depthwise.forward, depthwise.to_weight):
        assert "ld.global.v2.b32" in compiled(kernel, STRIDE=2, **tiles)
    assert "ld.global.v2.b32" in compiled(depthwise.to_input, STRIDE=2, PARTS=64, **tiles)


@pytest.mark.parametrize("rows", [1, 49, 5000, 12345678])
@pytest.mark.parametrize("channels", [4, 24, 100, 144, 1536, 9216])
def test_rows_are_cut_into_parts_without_gaps(rows, channels):
    parts, each = splits_of(rows, channels)
    height, width = tile(channels)
    assert each % height == 0 and height * width == TILE and width in (16, 32, 64)
    assert (parts - 1) * each < rows <= parts * each and parts <= PARTS


def test_weight_gradients_of_many_rows_are_summed_in_float32():
    """65,536 rows: rounding the sum to bfloat16, once, already costs 2e-3; adding parts up in it costs more."""
    pytest.importorskip("triton")
    product_as = importlib.import_module("model.gpu.pointwise").product_as
    torch.manual_seed(0)
    a, b = torch.randn(1, 24, 65536).bfloat16(), (torch.randn(1, 65536, 60) + 0.5).bfloat16()
    exact = torch.bmm(a.double(), b.double())

    def error(found: torch.Tensor) -> float:
        return float((found.double() - exact).norm() / exact.norm())

    found = product_as(a, b, torch.float32)
    assert found.dtype == torch.float32 and error(found) < 2e-6 and error(found.bfloat16()) > 1e-3
