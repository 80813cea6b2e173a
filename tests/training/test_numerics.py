"""Changed training maths without a new NUMERICS would mix results that do not belong together: this test fails then."""

import json

import pytest

from ablations.core.run_spec import NUMERICS
from tests.golden.numerics import PATH, RUNS, here, measure

REMEDY = (
    "The training maths gives other weights than when tests/golden/numerics.json was written. If that is meant, bump "
    "NUMERICS in ablations/core/run_spec.py and run `python -m tests.golden.numerics`."
)


@pytest.fixture(scope="module")
def golden():
    return json.loads(PATH.read_text())


@pytest.fixture(scope="module", params=["reference", "auto"])
def measured(request):
    """By PyTorch, and by the compiled kernels (where they were not built: by PyTorch again)."""
    return measure(request.param)


def test_the_golden_numbers_are_of_this_version(golden):
    assert golden["numerics"] == NUMERICS, "NUMERICS was bumped: run `python -m tests.golden.numerics`."


@pytest.mark.parametrize("name", RUNS)
def test_weights_to_the_bit_where_this_platform_is_known(golden, measured, name):
    known = golden["digests"].get(here())
    if known is None:
        pytest.skip(f"no digest of {here()}; the test below holds everywhere")
    assert measured[name]["digest"] == known[name], REMEDY


@pytest.mark.parametrize("name", RUNS)
def test_losses_and_weights_in_double_precision_on_every_platform(golden, measured, name):
    """Other processors and versions round differently: in double precision far less than another formula would."""
    expected, found = golden["values"][name], measured[name]
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-7), REMEDY
    assert found["weights"] == pytest.approx(expected["weights"], rel=1e-7, abs=1e-9), REMEDY
