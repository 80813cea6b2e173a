"""The blog variant: the network of the text this project started from, kept to show what its differences cost."""

from torch import Tensor, nn

from model.exact import structure_digest
from model.shufflenet import Unit, initialise, make_stages, make_stem
from model.widths import bottleneck_channels, resolve_stem, stage_channels


class BlogShuffleNet(nn.Module):
    """ShuffleNetV1 but for four differences from the paper; the arguments are ShuffleNetV1's.

    1. The bottleneck of a stride-2 unit is a quarter of what is left after the concatenation (out - in), not of the
       stage's width. Where the groups do not divide that, it is rounded up, as everywhere here.
    2. The stem's convolution and the last 1x1 convolution of each unit have a bias.
    3. The first unit has no group convolution at all (but for the depthwise one), and so nothing to shuffle.
    4. `forward` ends in a softmax. Train on `logits`: cross entropy applies a softmax of its own.
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
    ) -> None:
        super().__init__()

        def unit(before: int, out: int, stride: int, first: bool) -> Unit:
            here = 1 if first else groups
            bottleneck = bottleneck_channels(out - before if stride == 2 else out, here)
            return Unit(before, out, stride, bottleneck, here, here, shuffle, bias=True)

        stem_channels = resolve_stem(groups, width, stem, stem_channels)
        channels = stage_channels(groups, width)
        self.stem = make_stem(stem, in_channels, stem_channels, bias=True)
        self.stage2, self.stage3, self.stage4 = make_stages(stem_channels, channels, unit)
        self.classifier = nn.Linear(channels[2], num_classes)
        initialise(self)
        self.structure_digest = structure_digest(self)

    def logits(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) logits."""
        x = self.stage4(self.stage3(self.stage2(self.stem(x))))  # (N, C, H/32, W/32)
        scores: Tensor = self.classifier(x.mean((2, 3)))
        return scores

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) images -> (N, num_classes) probabilities."""
        return self.logits(x).softmax(1)
