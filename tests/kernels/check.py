"""Kernels of model/gpu against PyTorch on random inputs, on a GPU, or on the CPU by Triton's interpreter.

Run by tests/model/test_kernels.py in a process of its own: TRITON_INTERPRET must be set before Triton is imported.
"""

import copy
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablations.training import run_group
from ablations.training.trainer import TrainingEntry, train_together
from model.fused import FusedShuffleNet
from model.gpu import OPS
from model.ops import REFERENCE, Order
from tests.golden.numerics import _double as double
from tests.make import run, splits
from tests.model.test_fused import close, network

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Triton 3.6's interpreter passes arrays of one element to int(), which numpy 2.4 refuses.
    from triton.runtime import interpreter

    _patch = interpreter._patch_lang_tensor

    def _patched(tensor: Any, scope: Any) -> None:
        _patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))

    interpreter._patch_lang_tensor = _patched

    # On a GPU, Triton gives kernels numbers in float32.
    _norm = import_module("model.gpu.norm")
    _launch = _norm.launch

    def _rounded(*arguments: Any, **constants: Any) -> None:
        single = (torch.tensor(a, dtype=torch.float32).item() if isinstance(a, float) else a for a in arguments)
        _launch(*single, **constants)

    _norm.launch = _rounded

WITHIN = {torch.float64: 1e-11, torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Relative error in the 2-norm: of float32 arithmetic far under 1e-4, of bfloat16 storage under 1e-2."""

# Rows and channels that are no multiples of a tile (32 x 128 to 256 x 16), fewer than one, and several of them.
SHAPES = [(2, 5, 3, 3), (2, 130, 5, 3), (2, 36, 13, 12), (1, 24, 1, 9)]
# All in double precision, where an error of any kind shows; the interpreter is slow.
CASES = [*((shape, torch.float64) for shape in SHAPES), (SHAPES[2], torch.float32), (SHAPES[0], torch.bfloat16)]


def images(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Random activations far from zero mean in channels_last memory: (2, 3) or so in float64."""
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64) * 2 + 3
    return x.to(dtype).to(DEVICE).to(memory_format=torch.channels_last)


def far(found: Tensor, expected: Tensor) -> float:
    """Relative error; what is not a number never passes."""
    assert found.shape == expected.shape
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm().clamp(min=1e-30))


def compare(layer: nn.Module, call: Any, inputs: list[Tensor], dtype: torch.dtype) -> None:
    """Output and all gradients of `call(ops, layer, *inputs)` against the reference on inputs upcast to float64."""
    exact = copy.deepcopy(layer).double()
    mine = [x.clone(memory_format=torch.preserve_format).requires_grad_() for x in inputs]
    theirs = [x.detach().double().requires_grad_() for x in inputs]
    found, expected = call(OPS, layer, *mine), call(REFERENCE, exact, *theirs)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    assert far(found, expected) < WITHIN[dtype]
    grad = torch.randn_like(expected).to(dtype)
    found.backward(grad)
    expected.backward(grad.double())
    pairs = [*zip(mine, theirs, strict=True), *zip(layer.parameters(), exact.parameters(), strict=True)]
    for a, b in pairs:
        assert far(a.grad, b.grad) < WITHIN[dtype]
    for a, b in zip(layer.buffers(), exact.buffers(), strict=True):
        assert far(a, b.double()) < WITHIN[dtype]


def representable(net: Any) -> Any:
    """Give BatchNorms an eps and a momentum that float32 holds exactly."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 2**-17, 0.125
    return net


def batchnorm(channels: int, dtype: torch.dtype) -> nn.BatchNorm2d:
    bn = representable(nn.BatchNorm2d(channels))
    nn.init.uniform_(bn.weight, 0.5, 1.5)
    nn.init.normal_(bn.bias)
    return (bn.double() if dtype == torch.float64 else bn).to(DEVICE)


KINDS = [
    {"relu": False},
    {"relu": True},
    {"relu": True, "order": True},
    {"relu": True, "residual": True},
    {"relu": False, "order": True, "residual": True},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape,dtype", CASES)
def test_norm(shape, dtype, kind):
    source = torch.randperm(shape[1], generator=torch.Generator().manual_seed(1)).to(DEVICE)
    order = Order(source.int(), source.argsort().int()) if kind.get("order") else None
    inputs = [images(shape, dtype, 1)] + ([images(shape, dtype, 2) - 5] if kind.get("residual") else [])

    def call(ops, bn, x, residual=None):
        return ops.norm(x, bn, kind["relu"], order, residual)[0]

    compare(batchnorm(shape[1], dtype), call, inputs, dtype)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape,dtype", CASES)
def test_depthwise(shape, dtype, stride):
    conv = nn.Conv2d(shape[1], shape[1], 3, stride, padding=1, groups=shape[1], bias=False)
    conv = (conv.double() if dtype == torch.float64 else conv).to(DEVICE).to(memory_format=torch.channels_last)
    compare(conv, lambda ops, layer, x: ops.depthwise(x, layer), [images(shape, dtype, 3)], dtype)


@pytest.mark.parametrize("groups,out", [(1, 7), (2, 24), (6, 18)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_pointwise(groups, out, dtype):
    conv = nn.Conv2d(36, out // groups * groups, 1, groups=groups, bias=False).to(dtype).to(DEVICE)
    compare(conv, lambda ops, layer, x: ops.pointwise(x, layer), [images((2, 36, 5, 3), dtype, 4)], dtype)


def test_two_layers_may_each_take_an_output():
    """Their gradients meet in the kernel, before the ReLU and the residual take theirs."""
    for kind in ({"residual": False}, {"residual": True}):
        inputs = [images(SHAPES[2], torch.float64, 1)] + ([images(SHAPES[2], torch.float64, 2) - 5] * kind["residual"])

        def call(ops, bn, x, residual=None):
            first, second = ops.norm(x, bn, True, None, residual)
            return first * 2 + second.square()

        compare(batchnorm(SHAPES[2][1], torch.float64), call, inputs, torch.float64)


def test_what_is_not_a_number_stays_so():
    """Else a run that diverges would train on unseen."""
    x = images((2, 20, 3, 3), torch.float32, 5)
    x[0, 7, 1, 1] = float("nan")
    y, _ = OPS.norm(x.requires_grad_(), batchnorm(20, torch.float32), True, None, None)
    y.sum().backward()
    wrong = torch.zeros(20, dtype=torch.bool, device=DEVICE)
    wrong[7] = True
    assert torch.equal(y.isnan().any(0).any(-1).any(-1), wrong)
    assert torch.equal(x.grad.isnan().any(0).any(-1).any(-1), wrong)
    again = OPS.depthwise(y, nn.Conv2d(20, 20, 3, padding=1, groups=20, bias=False).to(DEVICE))
    assert torch.equal(again.isnan().any(0).any(-1).any(-1), wrong)


def test_statistics_of_values_far_from_zero_keep_their_digits():
    x = (images((4, 40, 16, 16), torch.float64, 6) * 0.01 + 1000).float()
    bn, exact = batchnorm(40, torch.float32), batchnorm(40, torch.float64)
    bn.momentum = exact.momentum = 1.0
    OPS.norm(x, bn, False, None, None)
    exact(x.double())
    assert (
        far(bn.running_mean, exact.running_mean) < 1e-6 and far(bn.running_var, exact.running_var) < 1e-2
    )  # x² - mean²: 100


def test_a_fused_network_of_them(groups=3, shuffles=(True, False)):
    mine, theirs = ([network(groups, 0.25, s, k).to(DEVICE) for k, s in enumerate(shuffles)] for _ in range(2))
    fast, plain = (representable(FusedShuffleNet(*each)) for each in ((mine, OPS), (theirs, REFERENCE)))
    x = torch.randn(2, 3 * len(shuffles), 10, 10, dtype=torch.float64, device=DEVICE)
    x = x.to(memory_format=torch.channels_last)
    scores = [net(x) for net in (fast, plain)]
    assert close(*scores)
    weights = torch.randn_like(scores[0])
    for each in scores:
        (each * weights).sum().backward()
    for (name, a), b in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert close(a.grad, b.grad, 1e-9), name
    for (name, a), b in zip(fast.named_buffers(), plain.buffers(), strict=True):
        assert close(a.double(), b.double(), WITHIN[torch.float64]), name


def test_training_with_them_is_training_with_the_reference(monkeypatch):
    """One run alone, which a fused network of one trains."""
    recipe = {"epochs": 1, "lr": 0.001, "crop": "pad", "pad": 1, "batch_size": 4}
    spec = {"train_images": 4, "test_images": 4, "cache_resolution": 8}
    one = run(0, recipe, spec, groups=2)
    data = splits(one.protocol.data)
    with double():
        found = []
        for ops in (REFERENCE, OPS):
            monkeypatch.setattr(run_group, "fast_ops", lambda device, ops=ops: ops)
            trained = dict(train_together([TrainingEntry(one)], data, DEVICE))
            found.append([(each.history[-1]["train_loss"], each.last.loss) for each in trained.values()])
    # Kernels are given eps in float32. A run so small makes 3e-5 of it.
    assert torch.tensor(found[0]).allclose(torch.tensor(found[1]), rtol=1e-4, atol=0)
