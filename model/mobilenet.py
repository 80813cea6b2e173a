"""MobileNet v1 (Howard and others, arXiv 1704.04861), which the paper's Table 5 compares ShuffleNet with."""

from torch import Tensor, nn

from model.structures import he_initialise

LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels at 1.0 and stride of each depthwise separable layer (MobileNet's Table 1)."""

STRIDES = {"imagenet": (2, 2), "stride2": (2, 1), "stride1": (1, 1)}
"""By stem: strides of the first convolution and of the second separable layer. At small inputs both give way, as
ShuffleNet's stem does, so that the two families see maps of one size in the layers that follow."""


def depthwise_separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """3x3 depthwise convolution, BatchNorm, ReLU, 1x1 convolution, BatchNorm, ReLU (MobileNet's Figure 3)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class MobileNetV1(nn.Module):
    """MobileNet with `width` times the channels in every layer.

    ValueError, naming the numbers, for a width that leaves a layer without channels or a stem that is unknown.
    """

    def __init__(
        self, width: float = 1.0, num_classes: int = 1000, in_channels: int = 3, stem: str = "imagenet"
    ) -> None:
        super().__init__()
        if stem not in STRIDES:
            raise ValueError(f"stem={stem!r} is unknown; choose one of {', '.join(STRIDES)}.")
        if not 1 / 32 <= width <= 8:
            raise ValueError(f"width={width} cannot be built: choose a number from {1 / 32} to 8.")
        first, second = STRIDES[stem]
        before = int(32 * width)
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, before, 3, first, padding=1, bias=False),
            nn.BatchNorm2d(before),
            nn.ReLU(inplace=True),
        ]
        for place, (channels, stride) in enumerate(LAYERS):
            out = int(channels * width)
            layers.append(depthwise_separable(before, out, second if place == 1 else stride))
            before = out
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, num_classes)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits. Sizes below: at 224x224, 1.0."""
        x = self.layers(x)  # (N, 1024, 7, 7)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
