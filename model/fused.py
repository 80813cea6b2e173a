"""Fuses S ShuffleNets of one shape into one network with S x g groups: one kernel launch instead of S.

Each layer is grouped or works per channel. Network s has channels s * C to (s + 1) * C of each layer; no data pass
between networks, so each computes what it would alone.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from model.exact import is_exactly
from model.ops import REFERENCE, Ops, Order
from model.shufflenet import LAYERS, ShuffleNetV1, Unit

Layer = TypeVar("Layer", bound=nn.Module)


def fits(net: nn.Module) -> bool:
    """Whether a fused network computes this one in full: ShuffleNetV1 itself as built, all weights trained."""
    return is_exactly(net, {ShuffleNetV1}, LAYERS) and all(p.requires_grad for p in net.parameters())


def shuffled(channels: int, groups: int) -> Tensor:
    """The channels 0 .. channels - 1 in the order that `channel_shuffle` puts them in: (channels,) int64."""
    return torch.arange(channels).view(groups, channels // groups).t().flatten()


def beside(x: Tensor, y: Tensor, copies: int) -> Tensor:
    """Concatenate channels per network: (N, S * a, H, W), (N, S * b, H, W) -> (N, S * (a + b), H, W), channels_last."""
    n, _, h, w = x.shape
    parts = [part.permute(0, 2, 3, 1).reshape(n, h, w, copies, -1) for part in (x, y)]
    return torch.cat(parts, 4).flatten(3).permute(0, 3, 1, 2)


class FusedUnit(nn.Module):
    """One unit (Figure 2b or 2c) of each of S networks; whether it shuffles may differ between networks."""

    source: Tensor
    target: Tensor

    def __init__(self, units: Sequence[Unit], ops: Ops) -> None:
        super().__init__()
        first = units[0]
        self.copies, self.stride, self.ops = len(units), first.stride, ops
        self.conv1, self.bn1 = widened([unit.conv1 for unit in units]), widened([unit.bn1 for unit in units])
        self.conv2, self.bn2 = widened([unit.conv2 for unit in units]), widened([unit.bn2 for unit in units])
        self.conv3, self.bn3 = widened([unit.conv3 for unit in units]), widened([unit.bn3 for unit in units])
        self.pool = first.pool
        channels = first.conv1.out_channels
        rows = [shuffled(channels, unit.groups if unit.shuffle else 1) + k * channels for k, unit in enumerate(units)]
        self.shuffle = any(unit.shuffle for unit in units)
        # Not persistent: names in state_dict equal those of an unfused network.
        self.register_buffer("source", torch.cat(rows).int(), persistent=False)
        self.register_buffer("target", torch.cat(rows).argsort().int(), persistent=False)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, S * in_channels, H, W) -> (N, S * out_channels, H, W), or half of H and W, rounded up, at stride 2.

        Takes and returns a tensor twice (see model.ops.Ops): for the branch and for the shortcut.
        """
        ops, (x, shortcut) = self.ops if self.training else replace(REFERENCE, pointwise=self.ops.pointwise), inputs
        order = Order(self.source, self.target) if self.shuffle else None
        y, _ = ops.norm(ops.pointwise(x, self.conv1), self.bn1, True, order, None)
        y, _ = ops.norm(ops.depthwise(y, self.conv2), self.bn2, False, None, None)
        y = ops.pointwise(y, self.conv3)
        if self.stride == 1:
            return ops.norm(y, self.bn3, True, None, shortcut)
        # The shortcut needs no ReLU: x comes from one, so its averages are not negative.
        y = beside(self.pool(shortcut), ops.norm(y, self.bn3, True, None, None)[0], self.copies)
        return y, y


class FusedShuffleNet(nn.Module):
    """S ShuffleNets of equal shapes as one network; they may differ in weights and in whether they shuffle.

    Parameters and buffers of the given networks become views into the fused ones: training this network trains them,
    and each can be evaluated and saved as usual. `state_dict` has the names of one network; each tensor stacks S along
    its first dimension.
    """

    def __init__(self, networks: Sequence[ShuffleNetV1], ops: Ops = REFERENCE) -> None:
        """ValueError if the networks are not of one shape, or `fits` refuses one."""
        super().__init__()
        if not all(fits(net) for net in networks):
            raise ValueError("Only unmodified ShuffleNetV1 networks, all of whose weights train, can be fused.")
        shapes = [{name: tensor.shape for name, tensor in net.state_dict().items()} for net in networks]
        if any(each != shapes[0] for each in shapes):
            raise ValueError("Only networks whose weights have the same names and shapes can be fused.")
        self.copies, self.ops = len(networks), ops
        self.stem = nn.Sequential(*(widened(layers) for layers in zip(*(net.stem for net in networks), strict=True)))
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(FusedUnit(units, ops) for units in zip(*stages, strict=True)))
            for stages in zip(*((net.stage2, net.stage3, net.stage4) for net in networks), strict=True)
        )
        self.classifier = widened([net.classifier for net in networks])
        units = [module for module in self.modules() if isinstance(module, FusedUnit)]
        self.pointwise = [conv for unit in units for conv in (unit.conv1, unit.conv3)]
        self.train(networks[0].training)
        self._share(networks)

    def forward(self, x: Tensor) -> Tensor:
        """(N, S * in_channels, H, W), a batch for each network -> (S, N, num_classes) logits."""
        self.ops.cast_weights(self.pointwise, x.device.type)
        if self.training:
            torch._foreach_add_(self.counters(), 1)
        conv, bn, _, *pool = self.stem
        y = (self.ops if self.training else REFERENCE).norm(conv(x), cast(nn.BatchNorm2d, bn), True, None, None)
        for layer in pool:
            y = (layer(y[0]),) * 2
        x, _ = self.stage4(self.stage3(self.stage2(y)))
        x = x.mean((2, 3)).view(len(x), self.copies, -1).transpose(0, 1)  # (S, N, channels)
        weight, bias = (each.view(self.copies, -1, *each.shape[1:]) for each in self.classifier.parameters())
        return torch.baddbmm(bias[:, None], x, weight.mT)

    def counters(self) -> list[Tensor]:
        """Numbers of batches that the BatchNorms have seen, () int64 each."""
        return [buffer for buffer in self.buffers() if not buffer.dim()]

    @torch.no_grad()
    def _share(self, networks: Sequence[ShuffleNetV1]) -> None:
        """Make each network's tensors views of its chunk of the fused ones; scalars (counters) are shared by all."""
        for path, module in self.named_modules():
            theirs = [net.get_submodule(path) for net in networks]
            for name, parameter in module.named_parameters(recurse=False):
                for each, part in zip(theirs, parameter.data.chunk(self.copies), strict=True):
                    getattr(each, name).data = part
            for name, buffer in module.named_buffers(recurse=False):
                if name in ("source", "target"):
                    continue
                parts = buffer.chunk(self.copies) if buffer.dim() else [buffer] * self.copies
                for each, part in zip(theirs, parts, strict=True):
                    setattr(each, name, part)


def widened(layers: Sequence[Layer]) -> Layer:
    """One layer on S times the channels that applies each of `layers` to its own channels.

    A Linear layer only stacks its weights; FusedShuffleNet.forward multiplies them by a batched product.
    """
    copies = len(layers)
    one = copy.deepcopy(layers[0])
    for name, parameter in list(one.named_parameters(recurse=False)):
        together = torch.cat([getattr(layer, name).detach() for layer in layers])
        setattr(one, name, nn.Parameter(together))
        assert together.shape[0] == copies * parameter.shape[0]
    for name, buffer in list(one.named_buffers(recurse=False)):
        if buffer.dim():  # running statistics; a counter is equal in all
            setattr(one, name, torch.cat([getattr(layer, name) for layer in layers]))
    if isinstance(one, nn.Conv2d):
        one.in_channels, one.out_channels, one.groups = (
            copies * size for size in (one.in_channels, one.out_channels, one.groups)
        )
    elif isinstance(one, nn.BatchNorm2d):
        one.num_features *= copies
    return one
