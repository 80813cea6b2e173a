"""ShuffleNet by the compiled CPU kernels, as one autograd operation: one call forward, one call backward."""

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.exact import is_exactly
from model.native.library import TYPES, load
from model.shufflenet import LAYERS, ShuffleNetV1

NAMES = {torch.float32: "f32", torch.float64: "f64"}

PASSES = (
    "stem", "first 1x1", "depthwise", "BatchNorm algebra", "last 1x1, add, ReLU",
    "last 1x1: weights", "last 1x1: inputs", "depthwise: backward", "first BatchNorm: backward",
    "first 1x1: weights", "first 1x1: inputs",
)  # fmt: skip
"""Names of clock.hpp's passes, in its order."""


def fits(net: nn.Module) -> bool:
    """Whether the kernels compute this network in full.

    It is ShuffleNetV1 itself as built, no subclass and without hooks, on the CPU; no max pool in its stem; all weights
    are trained.
    """
    if not is_exactly(net, {ShuffleNetV1}, LAYERS) or len(net.stem) != 3:  # type: ignore[arg-type]
        return False
    one = {(p.device.type, p.dtype, p.requires_grad) for p in net.parameters()}
    return len(one) == 1 and all(d == "cpu" and t in NAMES and trained for d, t, trained in one)


class Engine:
    """Buffers and kernels for one network and batch shape.

    Each call reads the network's current parameters and running statistics in place and, in training, updates the
    statistics as BatchNorm does.
    """

    def __init__(self, net: ShuffleNetV1, images: int, size: int, train: bool) -> None:
        """`images`: batch size in training, maximum batch size in evaluation; of `size` x `size` pixels.

        Raises:
            RuntimeError: no kernels were built, or there is not enough memory.
        """
        found = load()
        if found is None:
            raise RuntimeError("The CPU kernels are not built: run `python -m model.native.build`.")
        self.kind, library = found
        conv, norm = net.stem[0], net.stem[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        units: list[Any] = [unit for stage in (net.stage2, net.stage3, net.stage4) for unit in stage]
        self.parameters: list[Tensor] = [conv.weight, norm.weight, norm.bias]
        self.norms = [norm]
        shape = [images, conv.in_channels, size, size, conv.out_channels, conv.stride[0], len(units)]
        for unit in units:
            for layer, bn in ((unit.conv1, unit.bn1), (unit.conv2, unit.bn2), (unit.conv3, unit.bn3)):
                self.parameters += [layer.weight, bn.weight, bn.bias]
                self.norms.append(bn)
            before = unit.conv1.in_channels
            after = unit.conv3.out_channels + (before if unit.stride == 2 else 0)
            shape += [before, after, unit.stride, unit.conv1.out_channels, unit.conv1.groups, unit.groups, unit.shuffle]
        self.images, self.train, self.dtype, self.features = images, train, conv.weight.dtype, after
        self.eps = norm.eps
        name = NAMES[self.dtype]
        self._call = {key: getattr(library, f"{key}_{name}") for key in ("forward", "backward", "seconds")}
        self._handle = getattr(library, f"create_{name}")((ctypes.c_int * len(shape))(*shape), train)
        if not self._handle:
            raise RuntimeError(f"Not enough memory for the activations of {images} images of {size} x {size}.")
        weakref.finalize(self, getattr(library, f"destroy_{name}"), self._handle)
        self.lanes = int(getattr(library, f"lanes_{name}")(self._handle))
        memory = getattr(library, f"image_{name}")(self._handle)
        pixels = size * size * conv.in_channels
        array = np.ctypeslib.as_array(ctypes.cast(memory, ctypes.POINTER(TYPES[name])), (pixels * self.lanes,))
        self._image = torch.from_numpy(array).view(size, size, conv.in_channels, self.lanes).zero_()
        self.turn = 0

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, features): global average pool of the last stage."""
        if self.train:
            features: Tensor = _Features.apply(x, self, *self.parameters)
            return features
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """`__call__` outside autograd."""
        count = len(x)
        if count > self.images or (self.train and count != self.images):
            raise ValueError(f"This engine was made for batches of {self.images} images, not of {count}.")
        self._image[..., :count].copy_(x.permute(2, 3, 1, 0))
        features = torch.empty(self.features, self.lanes, dtype=self.dtype)
        held = self._weights()
        self._call["forward"](
            self._handle, _pointers(held), self._statistics(), features.data_ptr(), self.eps, self.norms[0].momentum
        )
        if self.train:
            self.turn += 1
            torch._foreach_add_([n.num_batches_tracked for n in self.norms if n.num_batches_tracked is not None], 1)
        return features[:, :count].t()

    def backward(self, gradient: Tensor) -> list[Tensor]:
        """(N, features) gradient -> gradients of `parameters`, for the batch of the last `forward`."""
        padded = torch.zeros(self.features, self.lanes, dtype=self.dtype)
        padded[:, : self.images] = gradient.t()
        held = self._weights()
        gradients = [torch.empty(p.shape, dtype=self.dtype) for p in self.parameters]
        self._call["backward"](
            self._handle, _pointers(held), _pointers(gradients), self._statistics(), padded.data_ptr()
        )
        return gradients

    def seconds(self) -> dict[str, float]:
        """Seconds spent so far, by pass."""
        spent = self._call["seconds"](self._handle)
        return {name: spent[k] for k, name in enumerate(PASSES)}

    def _weights(self) -> list[Tensor]:
        return [p.detach().contiguous() for p in self.parameters]

    def _statistics(self) -> Any:
        return _pointers([t for norm in self.norms for t in (norm.running_mean, norm.running_var)])


class _Features(torch.autograd.Function):
    """The engine as one differentiable operation of the network's parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, engine: Engine, *parameters: Tensor) -> Tensor:
        features = engine.forward(x)
        ctx.engine, ctx.turn = engine, engine.turn
        return features

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if ctx.engine.turn != ctx.turn:
            raise RuntimeError("Another batch went through the engine since: its activations are gone.")
        return None, None, *ctx.engine.backward(gradient)


def _pointers(tensors: Sequence[Tensor | None]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*[t.data_ptr() for t in tensors if t is not None])
