"""The compiled CPU kernels: the same training as PyTorch's, for every cell, whatever the batch, image and stem."""

import copy

import pytest
import torch
from torch import nn

from model import build
from model.backend import describe, evaluation_scorer, fold, logits, native, training_scorer
from model.native import build as compiler
from model.native import library
from model.native.engine import PASSES, Engine
from model.shufflenet import ShuffleNetV1
from tests.make import run, splits, train
from tests.training.test_trainer import digest

needs_kernels = pytest.mark.skipif(library.load() is None, reason="the CPU kernels are not built (no compiler here)")

WIDTHS = (0.25, 0.5, 1.0)
CELLS = [(g, w, True) for w in WIDTHS for g in (1, 2, 3, 4, 8)] + [(g, w, False) for w in WIDTHS for g in (3, 8)]


pytestmark = pytest.mark.usefixtures("one_thread")


def network(groups=3, width=0.25, shuffle=True, stem="stride2", in_channels=3, dtype=torch.float64, seed=0):
    """A network whose BatchNorms are past their beginning."""
    torch.manual_seed(seed)
    net = ShuffleNetV1(groups, width, shuffle, 10, in_channels, stem).to(dtype)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net


def trajectory(cell, kernels, dtype, rate, steps=50, batch=8, size=16):
    """Losses of a training, each step on other images."""
    torch.manual_seed(1)
    groups, width, shuffle = cell
    net = ShuffleNetV1(groups, width, shuffle, 10, 3, "stride2").to(dtype)
    score = training_scorer(net, batch, size, kernels)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    losses, before = [], net.stage4[3].conv3.weight.detach().clone()
    for step in range(steps):
        torch.manual_seed(step)
        loss = nn.functional.cross_entropy(score(torch.randn(batch, 3, size, size).to(dtype)), torch.arange(batch) % 10)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not torch.equal(net.stage4[3].conv3.weight, before), "it trains"
    return losses


@needs_kernels
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_same_losses_over_fifty_steps(cell):
    """Rates at which a ReLU that two roundings put on either side of 0 is not yet magnified to the size of a loss.

    At rates of real training it is, by PyTorch as well: its float32 losses are some percent from its float64 ones.
    """
    one, other = (trajectory(cell, kernels, torch.float64, 1e-7) for kernels in ("reference", "auto"))
    assert other == pytest.approx(one, rel=1e-9)
    steps = 50 if cell[1] == 0.25 else 10  # PyTorch's grouped convolutions take most of this test's time
    one, other = (trajectory(cell, kernels, torch.float32, 1e-9, steps) for kernels in ("reference", "auto"))
    assert other == pytest.approx(one, rel=1e-4)


@needs_kernels
@pytest.mark.parametrize(
    "images,size,settings",
    [
        (16, 16, {"groups": 3, "width": 0.5, "stem": "stride1"}),
        (13, 17, {"groups": 8}),  # no whole number of vectors, odd maps at every stride
        (35, 12, {"groups": 1, "stem": "stride1"}),
        (16, 19, {"groups": 4, "shuffle": False, "in_channels": 1}),
        (7, 10, {"groups": 2, "in_channels": 4, "width": 0.6}),
    ],
)
def test_scores_gradients_and_statistics(images, size, settings):
    net = network(**settings)
    mine = copy.deepcopy(net)
    x = torch.randn(images, settings.get("in_channels", 3), size, size, dtype=torch.float64)
    weigh = torch.randn(images, 10, dtype=torch.float64)
    expected, found = logits(net, x), training_scorer(mine, images, size)(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    expected.backward(weigh)
    found.backward(weigh)
    for (name, one), other in zip(net.named_parameters(), mine.parameters(), strict=True):
        assert (other.grad - one.grad).norm() <= 1e-9 * (one.grad.norm() + 1), name
    for (name, one), other in zip(net.named_buffers(), mine.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-12, msg=name)
    for count in (images, 1):
        torch.testing.assert_close(
            evaluation_scorer(mine, images, size)(x[:count]), logits(net.eval(), x[:count]), rtol=1e-9, atol=1e-9
        )


@needs_kernels
def test_single_precision_is_no_worse_than_pytorch():
    exact = network(width=0.5, stem="stride1")
    plain, mine = (copy.deepcopy(exact).float() for _ in range(2))
    x = torch.randn(32, 3, 16, 16, dtype=torch.float64)
    truth = logits(exact, x)
    far = [
        (scores.double() - truth).norm()
        for scores in (logits(plain, x.float()), training_scorer(mine, 32, 16)(x.float()))
    ]
    assert far[1] < 3 * far[0]


@needs_kernels
def test_a_channel_far_from_zero_keeps_its_variance():
    """Sums of squares lose what is small beside the mean; the running mean, subtracted first, keeps it."""
    exact = network(groups=2).float()
    bn = exact.stage2[1].bn2
    with torch.no_grad():
        exact.stage2[1].bn1.bias.fill_(300.0)  # far above 0: the ReLU lets all pass, nearly constant
    x = torch.randn(32, 3, 24, 24)
    nets = [copy.deepcopy(exact).double(), copy.deepcopy(exact), copy.deepcopy(exact)]
    for _ in range(60):  # the running mean follows
        training_scorer(nets[2], 32, 24)(x)
        logits(nets[0], x.double())
        logits(nets[1], x)
    variance = [net.stage2[1].bn2.running_var.double() for net in nets]
    assert bn.running_var.shape == variance[0].shape
    off = [((v - variance[0]) / variance[0]).abs().max().item() for v in variance[1:]]
    assert off[1] < max(1e-3, 5 * off[0])


@needs_kernels
def test_a_network_that_diverges_is_seen_to():
    net = network(dtype=torch.float32)
    with torch.no_grad():
        net.stage3[1].conv1.weight[0, 0] = float("nan")
    assert not training_scorer(net, 16, 16)(torch.randn(16, 3, 16, 16)).isfinite().all()


@needs_kernels
def test_the_same_bits_twice_and_after_a_resume(tmp_path):
    one = run(groups=3, recipe={"epochs": 2})
    data = splits(one.protocol.data)
    assert describe(network(dtype=torch.float32)).startswith("native ")
    told = []
    whole = train(one, data, observe=told.append)
    assert {"kernels": describe(whole.model)} in told
    asked = iter(range(10**6))
    with pytest.raises(Exception, match=r"[Ss]topped|asked"):
        train(one, data, checkpoint_path=tmp_path / "c.pt", stop=lambda: next(asked) == 5)
    assert digest(train(one, data, checkpoint_path=tmp_path / "c.pt")) == digest(whole) == digest(train(one, data))
    assert digest(train(one, data, kernels="reference")) != digest(whole), "else nothing was compared"


@needs_kernels
def test_a_batch_that_has_left_the_engine_cannot_be_differentiated():
    score = training_scorer(network(), 4, 16)
    first = score(torch.randn(4, 3, 16, 16, dtype=torch.float64))
    score(torch.randn(4, 3, 16, 16, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="Another batch"):
        first.sum().backward()


@needs_kernels
def test_a_batch_of_another_size_is_refused():
    engine = Engine(network(), 4, 16, train=True)
    with pytest.raises(ValueError, match="batches of 4 images, not of 3"):
        engine(torch.randn(3, 3, 16, 16, dtype=torch.float64))
    assert set(engine.seconds()) == set(PASSES)


@needs_kernels
def test_what_the_kernels_do_not_know_is_pytorch():
    frozen = network()
    frozen.classifier.weight.requires_grad = False
    blog = build("blog", groups=3, width=0.25, num_classes=10, stem="stride1")
    others = [network(stem="imagenet"), blog, frozen, network(dtype=torch.bfloat16)]
    assert native(network()) and not any(native(net) for net in others)
    assert not native(network(), "reference") and not native(network(), precision="bfloat16")
    torch.set_num_threads(2)
    try:
        assert not native(network()), "several threads are PyTorch's"
    finally:
        torch.set_num_threads(1)
    assert describe(network(), "reference") == "pytorch"


@pytest.mark.parametrize("structure,stem", [("shufflenet", "imagenet"), ("blog", "stride1")])
def test_folding_batchnorm_keeps_the_function(structure, stem):
    net = build(structure, groups=3, width=0.25, num_classes=10, stem=stem).double().train()
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    net(x)
    folded = fold(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) and net.training
    torch.testing.assert_close(logits(folded, x), logits(net.eval(), x), rtol=1e-10, atol=1e-12)


def test_kernels_are_named_by_their_sources(monkeypatch, tmp_path):
    before = library.path("avx2")
    (tmp_path / "network.cpp").write_text("int x;")
    monkeypatch.setattr(library, "HERE", tmp_path)
    assert library.path("avx2").name != before.name
    (tmp_path / "network.cpp").write_text("int y;")
    assert library.path("avx2").name not in (before.name,)


@pytest.mark.parametrize(
    "listed,everything,kinds",
    [
        ("avx2 fma bmi2 avx512f avx512bw avx512cd avx512dq avx512vl", False, ["avx512"]),
        ("avx2 fma bmi2 avx512f", False, ["avx2"]),
        ("sse2", False, []),
        ("sse2", True, ["avx512", "avx2"]),
        (None, False, ["avx512", "avx2"]),
    ],
)
def test_only_what_the_processor_runs_is_compiled(monkeypatch, tmp_path, listed, everything, kinds):
    if listed:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {listed} sse\nbugs\t: none\n")
    monkeypatch.setattr(compiler, "CPUINFO", tmp_path / "cpuinfo")
    assert list(compiler.wanted(library.KINDS["x86_64"], everything)) == kinds


def test_without_a_compiler_the_build_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert compiler.main() == 1
    assert "no C++ compiler" in capsys.readouterr().err


def test_a_build_that_fails_leaves_nothing_and_names_the_command(monkeypatch, tmp_path, capsys):
    (tmp_path / "network.cpp").write_text("this is no C++")
    for module in (library, compiler):
        monkeypatch.setattr(module, "HERE", tmp_path)
    if compiler.compiler() is None:
        pytest.skip("no compiler here")
    assert compiler.main() == 1
    assert "error" in capsys.readouterr().err and not list((tmp_path / "lib").iterdir())


def test_a_damaged_library_is_as_good_as_none(monkeypatch, tmp_path):
    (tmp_path / "network.cpp").write_text("int x;")
    monkeypatch.setattr(library, "HERE", tmp_path)
    for kind in library.KINDS.get(library.machine(), {}):
        library.path(kind).parent.mkdir(exist_ok=True)
        library.path(kind).write_bytes(b"\x7fELF, cut short")
    assert library.load.__wrapped__() is None
