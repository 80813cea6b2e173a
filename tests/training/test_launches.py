"""How much a captured step launches on a GPU: each node of a CUDA graph costs microseconds, however little it does."""

import re
import subprocess
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablations.training.cuda_graph import WARM_UP
from model.fused import FusedShuffleNet
from tests.make import run
from tests.training.test_cuda_graph import captured_step

pytest.importorskip("triton")

FREE = ("aten.empty", "aten.new_empty", "aten._unsafe_view", "aten.detach", "aten.alias", "aten.lift")
"""What launches nothing, besides views."""

TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.int32: "*i32", int: "i32", float: "fp32"}
"""Triton's names of them."""

AT_MOST = 460
"""702 before: a step of the CIFAR-10 protocol in bfloat16, whatever the cell."""


class Launches(TorchDispatchMode):
    """Counts what would be a node of the graph."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()
        self.variants = {}  # kernel, types of arguments and options -> how Triton is asked to compile it

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if not function.is_view and not str(function).startswith(FREE):
            self.seen[str(function)] += 1
        return function(*arguments, **(keywords or {}))


@pytest.fixture
def launches(monkeypatch):
    """A counter, with Triton's kernels and the products with float32 results (only GPUs have them) counted, not run."""
    depthwise, norm, pointwise = (import_module(f"model.gpu.{name}") for name in ("depthwise", "norm", "pointwise"))
    mode = Launches()

    def product(a, b, dtype):
        mode.seen["bmm"] += 1
        return torch.empty(a.shape[0], a.shape[1], b.shape[2], dtype=dtype)

    def launch(kernel, grid, *arguments, **constants):
        mode.seen[f"triton {kernel.fn.__name__}"] += 1
        types = [TYPES.get(getattr(argument, "dtype", type(argument))) for argument in arguments]
        options = {key: value for key, value in constants.items() if key not in kernel.arg_names}
        constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
        signature = dict(zip(kernel.arg_names, [*types, *["constexpr"] * len(constants)], strict=True))
        named = sorted((key, str(value)) for key, value in (constants | options).items())
        mode.variants[kernel.fn.__name__, *types, *named] = (kernel, signature, constants, options)

    for module in (depthwise, norm):
        monkeypatch.setattr(module, "launch", launch)
    monkeypatch.setattr(pointwise, "product_as", product)
    return mode


def fused_step(precision="bfloat16", stem="stride1"):
    """A step of two fused networks after its warm-up, and the network."""
    from model.gpu import OPS

    recipe = {"crop": "pad", "pad": 2, "flip": True, "label_smoothing": 0.1}
    one = run(groups=3, recipe=recipe, data={"channels": 3})
    one = replace(one, protocol=replace(one.protocol, precision=precision, stem=stem))
    step = captured_step(one, 2, OPS)
    for k in range(WARM_UP):
        step(k)
    return step, step.train_step.score


def test_a_captured_step_of_fused_networks_launches_few_kernels(launches):
    step, _ = fused_step()
    launches.seen.clear()
    with launches:
        step.body()
    seen = launches.seen
    assert {name.partition(" ")[2]: count for name, count in seen.items() if name.startswith("triton")} == {
        **dict.fromkeys(("moments", "apply", "sums", "back"), 49),
        **dict.fromkeys(("forward", "to_input", "to_weight"), 16),
    }
    assert seen["aten._foreach_copy_.default"] == seen["aten._foreach_add_.Scalar"] == 1, "casts; counters of batches"
    assert seen["bmm"] + seen["aten.bmm.out"] == 3 * 32
    assert not any(count > 32 for name, count in seen.items() if not name.startswith("triton") and "bmm" not in name)
    assert seen.total() <= AT_MOST, seen


@pytest.mark.parametrize("precision,stem", [("bfloat16", "stride1"), ("float32", "imagenet")])
def test_what_is_compiled_beforehand_is_what_a_step_launches(launches, precision, stem):
    from model.gpu.precompile import precompile

    _, net = fused_step(precision, stem)
    needed = set(launches.variants)
    launches.variants.clear()
    before = [tensor.clone() for tensor in net.state_dict().values()]
    precompile(net, getattr(torch, precision), 2)
    assert set(launches.variants) == needed and len(needed) > 20
    for a, b in zip(before, net.state_dict().values(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=0, equal_nan=True), "kernels that do not run leave weights undefined"


def study_variants(launches):
    """Of each cell of both studies, as it trains on a GPU: how many variants of kernels it adds to those before it."""
    from benchmarks.gpu_study import CELLS
    from model import ShuffleNetV1
    from model.gpu import OPS
    from model.gpu.precompile import precompile

    cells, added = dict.fromkeys(CELLS), []
    for groups, width in cells:
        with torch.device("meta"):
            one = ShuffleNetV1(groups, width, num_classes=10, stem="stride1")
            net = FusedShuffleNet([one] * 3 * (1 + (groups in (3, 8))), OPS)
        before = len(launches.variants)
        assert precompile(net, torch.bfloat16, 1) == []
        added.append(len(launches.variants) - before)
    return added


def test_a_study_needs_few_variants_of_kernels(launches):
    """233 before; each takes 0.2 s of a core to compile. What the first cells compile, the others use."""
    added = study_variants(launches)
    assert len(added) == 15 and sum(added) == 70 and added[3:] == [0] * 12, added


@pytest.mark.slow
def test_all_of_them_compile_for_hopper_and_keep_their_numbers_in_registers(launches, tmp_path, monkeypatch):
    """There is no GPU here, but Triton brings NVIDIA's assembler."""
    import triton
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    study_variants(launches)
    shows = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    for kernel, signature, constants, options in launches.variants.values():
        pointers = {(k,): [["tt.divisibility", 16]] for k, kind in enumerate(signature.values()) if kind[0] == "*"}
        source = triton.compiler.ASTSource(kernel, signature, constants, pointers)
        binary = tmp_path / "kernel.cubin"
        binary.write_bytes(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"])
        said = subprocess.run([shows, "-res-usage", binary], capture_output=True, text=True, check=True).stdout
        used = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", said))
        assert used["STACK"] == used["LOCAL"] == "0" and int(used["REG"]) <= 192, (kernel.fn.__name__, constants, used)
