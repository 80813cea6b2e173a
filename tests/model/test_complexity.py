"""Golden complexities at 224x224: the paper's at 1x and, by the width rule, the other widths'."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import model
from model import Complexity, ShuffleNetV1, complexity
from model.cost import independent_macs

# width, groups, the paper's printed complexity (Table 2; 1.5x and 2x: Tables 4 and 5) or None, then at 224x224 and 1000
# classes: multiply-adds of convolutions, of the fully connected layer, and parameters.
GOLDEN = [
    (1.0, 1, 143, 142_502_976, 576_000, 1_531_936),
    (1.0, 2, 140, 140_036_512, 800_000, 1_733_848),
    (1.0, 3, 137, 136_500_672, 960_000, 1_865_728),
    (1.0, 4, 133, 133_251_776, 1_088_000, 1_968_344),
    (1.0, 8, 137, 136_829_952, 1_536_000, 2_434_768),
    (0.5, 1, None, 38_229_408, 288_000, 534_484),
    (0.5, 2, None, 38_170_608, 400_000, 643_932),
    (0.5, 3, None, 37_109_856, 480_000, 718_324),
    (0.5, 4, None, 36_924_832, 544_000, 778_040),
    (0.5, 8, None, 39_701_760, 768_000, 1_011_448),
    (0.25, 1, None, 13_018_320, 144_000, 209_908),
    (0.25, 2, None, 13_582_996, 200_000, 267_690),
    (0.25, 3, None, 13_060_656, 240_000, 306_124),
    (0.25, 4, None, 13_712_552, 272_000, 339_420),
    (0.25, 8, None, 12_042_240, 384_000, 454_504),
    (1.5, 3, 292, 291_003_552, 1_440_000, 3_442_168),
    (2.0, 3, 524, 522_125_184, 1_920_000, 5_450_776),
]


@pytest.mark.parametrize(("width", "groups", "paper", "conv", "linear", "params"), GOLDEN)
def test_golden(width: float, groups: int, paper: int | None, conv: int, linear: int, params: int) -> None:
    found = complexity(ShuffleNetV1(groups, width), (3, 224, 224))
    assert found == Complexity(conv + linear, conv, linear, params)
    if paper is not None:  # at 1x the paper counts convolutions alone, at 1.5x and 2x the last layer too
        assert int((conv if width == 1 else conv + linear) / 1e6 + 0.5) == paper


def test_a_quarter_of_the_stem_is_too_cheap() -> None:
    """Ports that take 24 x width train a smaller 0.25x network than the paper's 13 M."""
    assert f"{complexity(ShuffleNetV1(3, 0.25, stem_channels=6)).conv_macs / 1e6:.1f}" == "10.8"


def test_shuffle_costs_nothing() -> None:
    assert complexity(ShuffleNetV1(8, 0.25)) == complexity(ShuffleNetV1(8, 0.25, shuffle=False))


def test_another_input() -> None:
    network = ShuffleNetV1(3, 0.25, in_channels=1, num_classes=10, stem="stride2")
    found = complexity(network, (1, 24, 24))
    assert found.macs == independent_macs(network, (1, 24, 24)) == found.conv_macs + 240 * 10
    assert found.params == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_alone(training: bool) -> None:
    network = ShuffleNetV1(3, 0.25, num_classes=10).train(training)
    network.stem.eval()  # a part in another mode than the whole stays so
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    complexity(network, (3, 32, 32))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


class Attention(nn.Module):
    """A layer that is neither convolution nor fully connected, but multiplies."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ x.transpose(2, 3)


def test_counters_that_disagree_are_not_believed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), Attention(), nn.Conv2d(1, 1, 1), Attention())
    with pytest.raises(RuntimeError, match=r"Multiply-adds at \(3, 8, 8\) are 1,792 by fvcore but 2,816"):
        complexity(network, (3, 8, 8))


def test_it_is_silent(recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture) -> None:
    warnings.simplefilter("always")
    complexity(ShuffleNetV1(3, 0.25), (3, 32, 32))
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.messages == []
    from fvcore.nn import FlopCountAnalysis

    FlopCountAnalysis(ShuffleNetV1(3, 0.25).eval(), torch.zeros(1, 3, 32, 32)).total()
    assert caplog.messages  # fvcore alone is not, nor has it been silenced for others


def test_the_name_is_the_function_whatever_was_imported() -> None:
    assert callable(model.complexity)
    assert model.complexity is complexity
    assert model.Complexity is Complexity
