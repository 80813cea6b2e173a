"""The networks of the comparison: this project's, the blog's, and pytorchcv's with the protocol's stem."""

from torch import Tensor, nn

import model
from model.shufflenet import UNITS, make_stem
from model.widths import resolve_stem, stage_channels


def build(network: str, groups: int, width: float, classes: int, stem: str) -> nn.Module:
    """A network of three input channels whose forward gives logits."""
    if network == "pytorchcv":
        return pytorchcv(groups, width, classes, stem)
    made = model.build(network, groups=groups, width=width, num_classes=classes, stem=stem)
    return Logits(made) if network == "blog" else made


class Logits(nn.Module):
    """The blog's network without the softmax of its forward: cross entropy applies one of its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes) logits."""
        scores: Tensor = self.network.logits(x)  # type: ignore[operator]
        return scores


def pytorchcv(groups: int, width: float, classes: int, stem: str) -> nn.Module:
    """pytorchcv's ShuffleNet, by its constructor, so that every unit sees images of the size that ours sees.

    Its stem and its pooling of 7x7 are for images of 224: the protocol's stem and a global pooling take their place.
    """
    from pytorchcv.models.shufflenet import ShuffleNet

    before = resolve_stem(groups, width, stem, None)
    channels = [[out] * units for out, units in zip(pytorchcv_channels(groups, width), UNITS, strict=True)]
    network: nn.Module = ShuffleNet(channels, before, groups, num_classes=classes)
    network.features.init_block = make_stem(stem, 3, before)
    network.features.final_pool = nn.AdaptiveAvgPool2d(1)
    return network


def pytorchcv_channels(groups: int, width: float) -> list[int]:
    """Output channels of stages 2, 3 and 4, as near to ours as it can be built: at 1x they are ours.

    Its bottleneck is a quarter of them, rounded down, which the groups must divide (ours is rounded up to that). Of two
    that are as near the wider is taken.
    """

    def fits(channels: int) -> bool:
        return channels % groups == 0 and channels // 4 % groups == 0

    return [
        min(filter(fits, range(groups, 2 * out + 4 * groups)), key=lambda channels: (abs(channels - out), -channels))
        for out in stage_channels(groups, width)
    ]
