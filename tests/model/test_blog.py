"""The blog variant differs from the paper's network in the four ways that it documents, and in no other."""

import pytest
import torch
from torch import nn

from model import BlogShuffleNet, ShuffleNetV1, build, complexity
from model.shufflenet import Unit
from model.widths import TABLE_1


def units(network: nn.Module) -> list[Unit]:
    """The 16 units, in order."""
    return [unit for unit in network.modules() if isinstance(unit, Unit)]


@pytest.mark.parametrize(
    ("groups", "conv_macs", "params"),
    # What this project's reading of the text gives (no published number): to notice changes.
    [
        (1, 131_188_680, 1_482_502),
        (2, 132_231_988, 1_691_620),
        (3, 132_197_688, 1_830_430),
        (4, 132_264_328, 1_939_366),
        (8, 149_065_056, 2_425_474),
    ],
)
def test_cost(groups: int, conv_macs: int, params: int) -> None:
    network = build("blog", groups=groups)
    assert isinstance(network, BlogShuffleNet)
    found = complexity(network)
    assert (found.conv_macs, found.params) == (conv_macs, params)
    assert params != complexity(ShuffleNetV1(groups=groups)).params


@pytest.mark.parametrize("groups", sorted(TABLE_1))
@pytest.mark.parametrize("width", [0.25, 0.3, 0.5, 1.0, 2.0])
def test_every_cell_can_be_built_and_run(groups: int, width: float) -> None:
    network = BlogShuffleNet(groups, width, num_classes=10).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_bottlenecks_are_of_what_is_left() -> None:
    # 1x, 8 groups: (384 - 24) / 4, (768 - 384) / 4, (1536 - 768) / 4 at stride 2; the paper's elsewhere.
    bottlenecks = [unit.conv2.out_channels for unit in units(BlogShuffleNet(groups=8))]
    assert bottlenecks == [90] + [96] * 3 + [96] + [192] * 7 + [192] + [384] * 3


def test_biases() -> None:
    blog = BlogShuffleNet()
    assert blog.stem[0].bias is not None
    for unit in units(blog):
        assert (unit.conv1.bias, unit.conv2.bias) == (None, None)
        assert unit.conv3.bias is not None
        assert not unit.conv3.bias.any()


def test_the_first_unit_is_not_grouped() -> None:
    first, *others = units(BlogShuffleNet(groups=8))
    assert (first.conv1.groups, first.conv3.groups, first.shuffle) == (1, 1, False)
    assert {(unit.conv1.groups, unit.conv3.groups, unit.shuffle) for unit in others} == {(8, 8, True)}
    assert not any(unit.shuffle for unit in units(BlogShuffleNet(groups=8, shuffle=False)))


def test_softmax_is_last() -> None:
    network = BlogShuffleNet(width=0.25, num_classes=7, in_channels=1, stem="stride1").eval()
    x = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        probabilities, logits = network(x), network.logits(x)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    torch.testing.assert_close(probabilities, logits.softmax(1))
    assert not torch.allclose(logits.sum(1), torch.ones(3))


def test_both_arms_start_from_the_same_weights() -> None:
    arms = []
    for shuffle in (True, False):
        torch.manual_seed(3)
        arms.append(BlogShuffleNet(width=0.25, num_classes=10, shuffle=shuffle).state_dict())
    assert all(torch.equal(arms[0][name], arms[1][name]) for name in arms[0] | arms[1])


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="groups=6 cannot be built"):
        BlogShuffleNet(groups=6)
