"""ShuffleNet with a squeeze-and-excitation block inside each unit, before the shortcut (arXiv 1709.01507)."""

from dataclasses import dataclass, field

from model.families import shufflenet
from model.families.shufflenet import canonical, resolve
from model.family import Input

__all__ = ["Axes", "build", "canonical", "resolve"]


@dataclass(frozen=True)
class Axes(shufflenet.Axes):
    """ShuffleNet's own axes, and one more."""

    branch_se: bool = field(default=False, metadata={"help": "SE block at the end of each unit's branch"})


def build(axes: Axes, given: Input):
    """ShuffleNet; each unit's last BatchNorm is followed by an SE block where `branch_se` is on."""
    from torch import nn

    from model.shufflenet import SqueezeExcite

    net = shufflenet.build(axes, given)
    for stage in (net.stage2, net.stage3, net.stage4) if axes.branch_se else ():
        for unit in stage:
            unit.bn3 = nn.Sequential(unit.bn3, SqueezeExcite(unit.bn3.num_features))
    return net
