"""The paper's network: the shuffle is the written-out permutation, and toggling it changes nothing else."""

import pytest
import torch
from torch import Tensor, nn

import model
from model import ShuffleNetV1, build
from model.shufflenet import Unit, channel_shuffle
from model.widths import STEMS, TABLE_1

FORMATS = [torch.contiguous_format, torch.channels_last]


def small(seed: int = 0, **settings: object) -> ShuffleNetV1:
    """A 0.25x network for 10 classes from a seed."""
    torch.manual_seed(seed)
    return ShuffleNetV1(**{"width": 0.25, "num_classes": 10, "stem": "stride2", **settings})  # type: ignore[arg-type]


def numbered(channels: int) -> Tensor:
    """(2, channels, 3, 5), every element different."""
    return torch.arange(2.0 * channels * 15).reshape(2, channels, 3, 5)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_shuffle_is_the_written_out_permutation(memory_format: torch.memory_format) -> None:
    x = numbered(12).to(memory_format=memory_format)
    assert torch.equal(channel_shuffle(x, 3), x[:, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]])
    assert torch.equal(channel_shuffle(x, 4), x[:, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]])


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("channels", "groups"), [(36, 1), (50, 2), (60, 3), (68, 4), (96, 8), (8, 8)])
def test_shuffle_undoes_itself(channels: int, groups: int, memory_format: torch.memory_format) -> None:
    x = numbered(channels).to(memory_format=memory_format)
    y = channel_shuffle(x, groups)
    assert y.is_contiguous(memory_format=memory_format)
    assert torch.equal(channel_shuffle(y, channels // groups), x)
    assert torch.equal(y, x) == (groups in (1, channels))


def test_every_group_gets_channels_of_every_group() -> None:
    source = torch.arange(24).div(8, rounding_mode="floor").reshape(1, 24, 1, 1)  # the group that made each channel
    for group in channel_shuffle(source, 3).chunk(3, 1):
        assert set(group.flatten().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("memory_format", FORMATS)
def test_shuffle_passes_gradients_back(memory_format: torch.memory_format) -> None:
    x = numbered(12).to(memory_format=memory_format).requires_grad_()
    weight = numbered(12)
    (gradient,) = torch.autograd.grad((channel_shuffle(x, 3) * weight).sum(), x)
    assert torch.equal(gradient, channel_shuffle(weight, 4))


@pytest.mark.parametrize("groups", sorted(TABLE_1))
def test_both_arms_start_from_the_same_weights(groups: int) -> None:
    on = small(7, groups=groups).state_dict()
    after_on = torch.rand(3)
    off = small(7, groups=groups, shuffle=False).state_dict()
    assert torch.equal(after_on, torch.rand(3))  # and leave the generator in the same state
    assert list(on) == list(off)
    assert all(torch.equal(on[name], off[name]) for name in on)
    other = small(8, groups=groups).state_dict()
    assert not torch.equal(on["stem.0.weight"], other["stem.0.weight"])


@pytest.mark.parametrize("groups", sorted(TABLE_1))
def test_shuffle_matters_unless_there_is_one_group(groups: int) -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        on, off = (small(groups=groups, shuffle=shuffle)(x) for shuffle in (True, False))
    assert torch.equal(on, off) == (groups == 1)


@pytest.mark.parametrize(
    ("stem", "sizes"), [("imagenet", (16, 8, 4, 2)), ("stride2", (32, 16, 8, 4)), ("stride1", (64, 32, 16, 8))]
)
def test_shapes(stem: str, sizes: tuple[int, ...]) -> None:
    assert stem in STEMS
    network = small(stem=stem, in_channels=1).eval()
    found = {}
    for name in ("stem", "stage2", "stage3", "stage4"):
        network.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: found.update({name: y.shape}))
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 10)
    assert list(found.values()) == [
        (2, channels, size, size) for channels, size in zip((12, 60, 120, 240), sizes, strict=True)
    ]


def test_odd_sizes_fit() -> None:
    assert small(stem="stride1").eval()(torch.zeros(1, 3, 29, 31)).shape == (1, 10)


def test_units_are_the_papers() -> None:
    network = ShuffleNetV1(groups=8)
    units = [unit for unit in network.modules() if isinstance(unit, Unit)]
    assert [len(stage) for stage in (network.stage2, network.stage3, network.stage4)] == [4, 8, 4]
    assert [number for number, unit in enumerate(units) if unit.stride == 2] == [0, 4, 12]
    assert [unit.conv1.groups for unit in units] == [1] + [8] * 15
    assert {unit.conv3.groups for unit in units} == {8}
    assert [unit.conv2.out_channels for unit in units] == [96] * 4 + [192] * 8 + [384] * 4
    assert all(unit.conv2.groups == unit.conv2.in_channels for unit in units)
    assert all(module.bias is None for module in network.modules() if isinstance(module, nn.Conv2d))


def test_a_stride_2_unit_puts_the_shortcut_first() -> None:
    unit = Unit(6, 18, stride=2, bottleneck=6, in_groups=3, groups=3, shuffle=True).eval()
    x = torch.randn(2, 6, 8, 8)
    y = unit(x.clone())
    assert y.shape == (2, 18, 4, 4)
    assert torch.equal(y[:, :6], torch.nn.functional.avg_pool2d(x, 3, 2, 1).relu())


def test_a_stride_1_unit_adds() -> None:
    unit = Unit(6, 6, stride=1, bottleneck=3, in_groups=3, groups=3, shuffle=True).eval()
    x = torch.randn(2, 6, 8, 8)
    before = x.clone()
    hidden = channel_shuffle(unit.bn1(unit.conv1(x)).relu(), 3)
    expected = (x + unit.bn3(unit.conv3(unit.bn2(unit.conv2(hidden))))).relu()
    assert torch.equal(unit(x), expected)
    assert torch.equal(x, before)  # the sum is in place, but not in the input's


def test_every_parameter_learns() -> None:
    network = small(groups=8)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_memory_format_changes_no_result() -> None:
    network = small(groups=3).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = network(x)
        found = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="stem_channels=10 cannot be built with groups=3"):
        ShuffleNetV1(groups=3, stem_channels=10)
    with pytest.raises(ValueError, match="nonet is not a network: it is none of shufflenet, blog"):
        build("nonet")
    with pytest.raises(AttributeError, match="no attribute 'ShuffleNetV2'"):
        model.ShuffleNetV2  # noqa: B018


def test_stem_channels_are_a_setting() -> None:
    network = build("shufflenet", groups=3, width=0.25, stem_channels=6)
    assert isinstance(network, ShuffleNetV1)
    assert network.stem[0].out_channels == 6
