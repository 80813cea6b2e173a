"""torchvision's MobileNetV2 as a family: its width is the axis, its first stride is gentler for small images."""

from dataclasses import dataclass, field

from model.family import Input


@dataclass(frozen=True)
class Axes:
    """One axis, with its values."""

    width: float = field(default=1.0, metadata={"help": "width_mult", "range": (0.1, 2)})


def build(axes: Axes, given: Input):
    """The network for (N, given.channels, H, W) images."""
    from torch import nn
    from torchvision.models import mobilenet_v2

    net = mobilenet_v2(width_mult=axes.width, num_classes=given.classes)
    first = net.features[0][0]
    stride = 2 if given.stem == "imagenet" else 1
    net.features[0][0] = nn.Conv2d(given.channels, first.out_channels, 3, stride, padding=1, bias=False)
    return net
