"""ShuffleNet v1 (Zhang et al., arXiv 1707.01083): Figure 2 is the unit, Table 1 the network."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from model.exact import structure_digest
from model.widths import STEM_SHRINK, bottleneck_channels, resolve_stem, stage_channels

UNITS = (4, 8, 4)
"""Units in stages 2, 3 and 4 (Table 1); the first of each has stride 2."""

MakeUnit = Callable[[int, int, int, bool], nn.Module]
"""(in_channels, out_channels, stride, is it the network's first) -> a unit."""


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels (g, C/g) read as (C/g, g), Section 3.1: each group of the next layer sees every group of this one.

    x: (N, C, H, W) with C a multiple of groups; returns the same shape, in x's memory format.
    """
    n, c, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        # Channels lie innermost: shuffled there, they stay there, and one copy does it. (torch's own channel_shuffle is
        # no faster on average on the CPU and does not exist on Apple's MPS.)
        x = x.permute(0, 2, 3, 1).reshape(n * h * w, groups, c // groups)
        return x.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)
    return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class Unit(nn.Module):
    """One ShuffleNet unit: Figure 2b for stride 1 (add), 2c for stride 2 (concatenate).

    in_groups belongs to the first 1x1 convolution, groups to the shuffle and the last, bias to the last.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        bottleneck: int,
        in_groups: int,
        groups: int,
        shuffle: bool,
        bias: bool = False,
    ) -> None:
        super().__init__()
        # At stride 2 the shortcut brings in_channels of the output, so the branch makes the rest.
        branch = out_channels - in_channels if stride == 2 else out_channels
        self.stride = stride
        self.groups = groups
        self.shuffle = shuffle and groups > 1  # of one group it is the identity
        self.conv1 = nn.Conv2d(in_channels, bottleneck, 1, groups=in_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(bottleneck)
        self.conv2 = nn.Conv2d(bottleneck, bottleneck, 3, stride, padding=1, groups=bottleneck, bias=False)
        self.bn2 = nn.BatchNorm2d(bottleneck)
        self.conv3 = nn.Conv2d(bottleneck, branch, 1, groups=groups, bias=bias)
        self.bn3 = nn.BatchNorm2d(branch)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W), or half of H and W, rounded up, at stride 2."""
        y = self.relu(self.bn1(self.conv1(x)))  # (N, bottleneck, H, W)
        if self.shuffle:
            y = channel_shuffle(y, self.groups)
        y = self.bn2(self.conv2(y))  # (N, bottleneck, H/stride, W/stride); no ReLU after the depthwise convolution
        y = self.bn3(self.conv3(y))
        y = torch.cat((self.pool(x), y), 1) if self.stride == 2 else y.add_(x)  # the shortcut comes first
        out: Tensor = self.relu(y)
        return out


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate of its own: global average pool, two fully connected layers, sigmoid.

    Hu and others, arXiv 1709.01507, with their reduction of 16.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, inner)
        self.excite = nn.Linear(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        gate = self.excite(torch.relu(self.squeeze(x.mean((2, 3))))).sigmoid()
        scaled: Tensor = x * gate[:, :, None, None]
        return scaled


class SEUnit(Unit):
    """A unit with squeeze-and-excitation on its output, after the shortcut.

    The paper's Table 5 says "with SE" and 527 M at 2x, g=3. Only gates of the whole output, in the units of stride 2
    too, cost that. A class of its own, so that no fast path takes it for a `Unit` (see model.exact).
    """

    def __init__(self, in_channels: int, out_channels: int, *settings: Any) -> None:
        super().__init__(in_channels, out_channels, *settings)
        self.se = SqueezeExcite(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """As Unit.forward."""
        out: Tensor = self.se(super().forward(x))
        return out


LAYERS = frozenset({Unit, nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d, nn.Linear})
"""Classes of all layers of ShuffleNetV1 and BlogShuffleNet; see model.exact."""


def make_stem(kind: str, in_channels: int, channels: int, bias: bool = False) -> nn.Sequential:
    """Layers before stage 2: (N, in_channels, H, W) -> (N, channels, H/s, W/s), s = STEM_SHRINK[kind], rounded up."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, channels, 3, min(STEM_SHRINK[kind], 2), padding=1, bias=bias),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]
    if kind == "imagenet":
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    return nn.Sequential(*layers)


def make_stages(
    stem_channels: int, channels: tuple[int, int, int], unit: MakeUnit, counts: tuple[int, int, int] = UNITS
) -> list[nn.Sequential]:
    """Stages 2, 3 and 4 of `counts` units: in each a unit of stride 2, then units of stride 1."""
    stages = []
    before = stem_channels
    for number, (count, out) in enumerate(zip(counts, channels, strict=True)):
        units = [unit(before, out, 2, number == 0)]
        units += [unit(out, out, 1, False) for _ in range(count - 1)]
        stages.append(nn.Sequential(*units))
        before = out
    return stages


def initialise(network: nn.Module) -> None:
    """Draw the weights: normal, of deviation 1 / input channels of a group; 0.01 for the stem and the classifier.

    The paper does not state its initialisation; this is that of the authors' release. It matters: the depthwise kernels
    (deviation 1) start large. On glyphs, g=3 at 0.5x had 19 % validation error after 8 epochs; with He's (fan out), 23
    after 10.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            stem = module.groups == 1 and module.kernel_size[0] == 3
            nn.init.normal_(module.weight, 0, 0.01 if stem else 1 / module.weight.shape[1])
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


class ShuffleNetV1(nn.Module):
    """ShuffleNet width x with `groups` groups.

    shuffle changes neither the parameters nor what is drawn for them: from one seed, both arms of the ablation start
    from the same weights. stem: see model.widths.STEMS; stem_channels: None for the default there. se: squeeze and
    excitation on each unit's output; units: in stages 2, 3 and 4 (both Table 5).
    ValueError, naming the numbers, if it cannot be built.
    """

    def __init__(
        self,
        groups: int = 3,
        width: float = 1.0,
        shuffle: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        stem_channels: int | None = None,
        se: bool = False,
        units: tuple[int, int, int] = UNITS,
    ) -> None:
        super().__init__()
        kind = SEUnit if se else Unit

        def unit(before: int, out: int, stride: int, first: bool) -> Unit:
            # A quarter of the whole stage width, at stride 2 too. The first 1x1 convolution of stage 2 is not grouped:
            # its input is too thin (Section 3.3). Only this reading gives Table 1's complexity.
            bottleneck = bottleneck_channels(out, groups)
            return kind(before, out, stride, bottleneck, 1 if first else groups, groups, shuffle)

        stem_channels = resolve_stem(groups, width, stem, stem_channels)
        channels = stage_channels(groups, width)
        self.stem = make_stem(stem, in_channels, stem_channels)
        self.stage2, self.stage3, self.stage4 = make_stages(stem_channels, channels, unit, units)
        self.classifier = nn.Linear(channels[2], num_classes)
        initialise(self)
        self.structure_digest = structure_digest(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits. Sizes below: at 224x224, 1x, 3 groups."""
        x = self.stem(x)  # (N, 24, 56, 56)
        x = self.stage2(x)  # (N, 240, 28, 28)
        x = self.stage3(x)  # (N, 480, 14, 14)
        x = self.stage4(x)  # (N, 960, 7, 7)
        x = x.mean((2, 3))  # (N, 960): global average pool
        logits: Tensor = self.classifier(x)
        return logits
