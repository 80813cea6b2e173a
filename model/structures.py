"""The other structures of the paper's Table 4 on its Table 1's skeleton: VGG-like, ResNet and ResNeXt units.

Section 4.2 puts other units into ShuffleNet's stages and adapts channels until the complexity is that of ShuffleNet 1x,
0.5x and 0.25x. Its units are not printed; what is chosen here is the reading whose multiply-adds round to
the printed 140, 38 and 13 M; tests/model/test_structures.py has the counts. No release has these networks.
"""

from typing import Any

from torch import Tensor, nn

from model.shufflenet import MakeUnit, make_stages, make_stem
from model.widths import FITTED_STEMS, STEMS

RESNEXT_GROUPS = 16
"""Groups of the 3x3 convolution in a ResNeXt unit (Section 4.2: 16 groups)."""


def conv_bn(in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the resolution at stride 1, without bias, and its BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class PlainUnit(nn.Module):
    """VGG-like: two 3x3 convolutions, each with BatchNorm and ReLU, no shortcut; the stride is in the first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv_bn(in_channels, out_channels, 3, stride)
        self.conv2 = conv_bn(out_channels, out_channels, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        out: Tensor = self.relu(self.conv2(self.relu(self.conv1(x))))
        return out


class BottleneckUnit(nn.Module):
    """ResNet's and ResNeXt's unit: 1x1, 3x3 (in `groups`), 1x1, each with BatchNorm; added to the shortcut, then ReLU.

    Where the stride is 2 the shortcut is a 1x1 convolution of stride 2 with BatchNorm (a projection). The branch has
    its stride in the 3x3 convolution, or in the first 1x1 where `early`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, bottleneck: int, groups: int, early: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if early else (1, stride)
        self.conv1 = conv_bn(in_channels, bottleneck, 1, first)
        self.conv2 = conv_bn(bottleneck, bottleneck, 3, second, groups)
        self.conv3 = conv_bn(bottleneck, out_channels, 1)
        self.project = conv_bn(in_channels, out_channels, 1, stride) if stride == 2 else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y = self.relu(self.conv1(x))
        y = self.relu(self.conv2(y))
        out: Tensor = self.relu(self.conv3(y) + self.project(x))
        return out


class StagedNetwork(nn.Module):
    """Table 1's skeleton around other units: stem, stages of 4, 8 and 4 units, global average pool, classifier.

    base: channels of the outputs of stages 2, 3 and 4 at 1x; at another width each stage's own, rounded down. stem: see
    model.widths.STEMS. ValueError, naming the numbers, where the skeleton has no stem for this width.
    """

    def __init__(
        self,
        unit: MakeUnit,
        base: tuple[int, int, int],
        width: float,
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        if width not in FITTED_STEMS:
            known = ", ".join(f"{one:g}" for one in FITTED_STEMS)
            raise ValueError(f"width={width} cannot be built: choose one of {known}.")
        if stem not in STEMS:
            raise ValueError(f"stem={stem!r} is unknown; choose one of {', '.join(STEMS)}.")
        a, b, c = (int(round(width * channels, 9)) for channels in base)
        self.stem = make_stem(stem, in_channels, FITTED_STEMS[width])
        self.stage2, self.stage3, self.stage4 = make_stages(FITTED_STEMS[width], (a, b, c), unit)
        self.classifier = nn.Linear(c, num_classes)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits."""
        x = self.stage4(self.stage3(self.stage2(self.stem(x))))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def he_initialise(network: nn.Module) -> None:
    """Draw the weights: He's normal (fan out) for convolutions, deviation 0.01 for the classifier.

    The paper states none for these networks. ShuffleNet's own (deviation 1 / input channels of a group) belongs to a
    unit that has no ReLU after its depthwise convolution.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


def vgg_like(width: float = 1.0, **settings: Any) -> StagedNetwork:
    """The VGG-like network of Table 4: 50 channels in stage 4 at 38 M, as the paper says."""

    def unit(before: int, out: int, stride: int, first: bool) -> PlainUnit:
        return PlainUnit(before, out, stride)

    return StagedNetwork(unit, (25, 50, 100), width, **settings)


def resnet(width: float = 1.0, **settings: Any) -> StagedNetwork:
    """The ResNet of Table 4: bottleneck ratio 1:4; 192 channels in stage 4 at 38 M, as the paper says."""

    def unit(before: int, out: int, stride: int, first: bool) -> BottleneckUnit:
        return BottleneckUnit(before, out, stride, out // 4, 1, early=False)

    return StagedNetwork(unit, (96, 192, 384), width, **settings)


def resnext(width: float = 1.0, **settings: Any) -> StagedNetwork:
    """The ResNeXt of Table 4: 16 groups, bottleneck ratio 1:2, rounded down to a multiple of 16, 16 at the least.

    At 1x the stride is in the first 1x1 convolution: with it in the 3x3, as at the other widths, the network has
    156.6 M multiply-adds, not 140. That is a choice of this project; the paper says nothing.
    """

    def unit(before: int, out: int, stride: int, first: bool) -> BottleneckUnit:
        bottleneck = max(1, out // 2 // RESNEXT_GROUPS) * RESNEXT_GROUPS
        return BottleneckUnit(before, out, stride, bottleneck, RESNEXT_GROUPS, early=width == 1.0)

    return StagedNetwork(unit, (96, 192, 384), width, **settings)
