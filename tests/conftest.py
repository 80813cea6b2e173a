"""Fixtures of many tests; a file asks for one with `pytestmark = pytest.mark.usefixtures(...)`."""

from collections.abc import Iterator

import pytest

from tests.results_fixture import cheap_costs


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread, as workers do: the compiled kernels ask for it, and sums have one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made_up_costs() -> Iterator[None]:
    """Multiply-adds are made up: to measure them takes torch and half a minute."""
    from analysis.runs import macs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(macs, "_measure", cheap_costs)
        yield
