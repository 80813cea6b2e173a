"""Tables 4 and 5: complexities to the digit, and every unit against its formula written out."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import ShuffleNetV1, build, complexity
from model.families import shufflenet
from model.mobilenet import MobileNetV1, depthwise_separable
from model.shufflenet import SEUnit
from model.structures import BottleneckUnit, PlainUnit, resnet, resnext, vgg_like

COMPLEXITY = {
    vgg_like: {1.0: (144_762_112, 1_173_821), 0.5: (37_578_218, 319_333), 0.25: (12_374_323, 92_307)},
    resnet: {1.0: (143_987_712, 1_446_304), 0.5: (38_125_056, 461_428), 0.25: (12_853_248, 166_012)},
    resnext: {1.0: (143_084_544, 1_496_992), 0.5: (38_313_216, 471_332), 0.25: (13_069_632, 163_252)},
    MobileNetV1: {
        1.0: (568_740_352, 4_231_976),  # 569 M and 4.2 million parameters (arXiv 1704.04861, Table 6)
        0.75: (325_400_448, 2_585_560),
        0.5: (149_497_088, 1_331_592),
        0.25: (41_030_272, 470_072),
    },
}
"""Multiply-adds at 224x224 with 1000 classes, and parameters, by width."""


def convolve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution as a sum over its patches: (N, C, H, W) -> (N, out, H', W')."""
    n, (k, _), (s, _) = len(x), conv.kernel_size, conv.stride
    patches = F.unfold(x, k, padding=conv.padding[0], stride=s)  # (N, C * k * k, L)
    grouped = patches.view(n, conv.groups, -1, patches.shape[-1])
    weight = conv.weight.view(conv.groups, conv.out_channels // conv.groups, -1)
    side = (x.shape[-1] + 2 * conv.padding[0] - k) // s + 1
    return torch.einsum("ngil,goi->ngol", grouped, weight).reshape(n, conv.out_channels, side, side)


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """BatchNorm of a batch by its own mean and variance."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    scale = norm.weight.view(1, -1, 1, 1) / (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
    return centred * scale + norm.bias.view(1, -1, 1, 1)


def layer(x: Tensor, part: nn.Sequential) -> Tensor:
    """Convolution and BatchNorm written out."""
    convolution, norm = part[0], part[1]
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return normalised(convolve(x, convolution), norm)


def images(channels: int, side: int = 6) -> Tensor:
    return torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def drawn(unit: nn.Module) -> nn.Module:
    """A unit in double precision whose BatchNorm weights are no ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    for parameter in unit.double().parameters():
        nn.init.normal_(parameter, 0.3, 0.5, generator)
    return unit.train()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_plain_unit_is_two_convolutions_with_batchnorm_and_relu(stride):
    unit, x = drawn(PlainUnit(4, 6, stride)), images(4)
    expected = layer(layer(x, unit.conv1).clamp(min=0), unit.conv2).clamp(min=0)
    torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("stride", "before"), [(1, 8), (2, 4)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_bottleneck_unit_adds_its_branch_to_its_shortcut(stride, before, groups, early):
    unit, x = drawn(BottleneckUnit(before, 8, stride, 4, groups, early)), images(before)
    y = layer(layer(x, unit.conv1).clamp(min=0), unit.conv2).clamp(min=0)
    shortcut = layer(x, unit.project) if stride == 2 else x
    torch.testing.assert_close(unit(x), (layer(y, unit.conv3) + shortcut).clamp(min=0))
    assert unit.conv1[0].stride == ((stride, stride) if early else (1, 1)), "where the stride is"


@pytest.mark.parametrize("stride", [1, 2])
def test_a_depthwise_separable_layer_is_a_depthwise_and_a_pointwise_convolution(stride):
    part, x = drawn(depthwise_separable(4, 6, stride)), images(4)
    y = normalised(convolve(x, part[0]), part[1]).clamp(min=0)
    torch.testing.assert_close(part(x), normalised(convolve(y, part[3]), part[4]).clamp(min=0))


@pytest.mark.parametrize(("network", "width"), [(net, width) for net, found in COMPLEXITY.items() for width in found])
def test_complexities_of_tables_4_and_5(network, width):
    found = complexity(network(width))
    assert (found.macs, found.params) == COMPLEXITY[network][width]


@pytest.mark.parametrize(("network", "printed"), [(resnet, 192), (resnext, 192), (vgg_like, 50)])
def test_stage_4_has_the_channels_that_the_paper_names_at_38_million(network, printed):
    assert network(0.5).classifier.in_features == printed


@pytest.mark.parametrize("network", [vgg_like, resnet, resnext, MobileNetV1])
@pytest.mark.parametrize(("stem", "side"), [("imagenet", 64), ("stride2", 32), ("stride1", 32)])
def test_networks_take_every_stem(network, stem, side):
    net = network(0.25, num_classes=7, in_channels=1, stem=stem)
    assert net(torch.zeros(2, 1, side, side)).shape == (2, 7)


@pytest.mark.parametrize("network", [vgg_like, resnet, resnext, MobileNetV1])
def test_what_cannot_be_built_is_named(network):
    with pytest.raises(ValueError, match=r"width=0\.01 cannot be built"):
        network(0.01)
    with pytest.raises(ValueError, match="stem"):
        network(1.0, stem="other")


TABLE_5 = {
    ((("groups", 3), ("width", 2.0)), 524_045_184),
    ((("groups", 3), ("width", 2.0), ("se", True)), 526_925_184),  # the paper prints 527
    ((("groups", 3), ("width", 1.5)), 292_443_552),
    ((("groups", 3), ("width", 0.725), ("stem_channels", 12), ("units", "2/4/2")), 39_568_092),  # the paper prints 40
}
"""Multiply-adds at 224x224 of the ShuffleNets that Table 5 alone has."""


@pytest.mark.parametrize(("axes", "macs"), sorted(TABLE_5, key=str))
def test_complexities_of_table_5(axes, macs):
    assert complexity(build("shufflenet", **dict(axes))).macs == macs


@pytest.mark.parametrize(("stride", "before"), [(1, 32), (2, 8)])
def test_an_se_unit_scales_the_output_of_a_unit_by_a_gate_for_each_channel(stride, before):
    settings = (before, 32, stride, 8, 2, 2, True)
    unit, x = drawn(SEUnit(*settings)), images(before)
    plain = super(SEUnit, unit).forward(x.clone())
    average = plain.mean((2, 3))
    first, second = unit.se.squeeze, unit.se.excite
    hidden = (torch.einsum("nc,hc->nh", average, first.weight) + first.bias).clamp(min=0)
    gate = 1 / (1 + (-(torch.einsum("nh,ch->nc", hidden, second.weight) + second.bias)).exp())
    assert first.out_features == 2, "a sixteenth of the output's channels"
    torch.testing.assert_close(unit(x.clone()), torch.einsum("nchw,nc->nchw", plain, gate))


def test_depth_is_the_number_of_units():
    net = ShuffleNetV1(width=0.25, units=shufflenet.units("2/4/2"))
    assert [len(stage) for stage in (net.stage2, net.stage3, net.stage4)] == [2, 4, 2]
    for wrong in ("4/8", "0/1/1", "4/8/4/4", "a/b/c", "4/8/65"):
        with pytest.raises(ValueError, match=f"units={wrong} cannot be built"):
            build("shufflenet", units=wrong)
