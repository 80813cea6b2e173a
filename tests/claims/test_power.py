"""The power of a test against statsmodels', which plans and verdicts do without."""

import math

import pytest
from statsmodels.stats.power import TTestPower

from analysis.claims import hypothesis_tests
from analysis.claims.power import different, seeds_needed
from analysis.stats.intervals import SEEDS


@pytest.mark.parametrize("cells", [1, 5])
@pytest.mark.parametrize(("seeds", "t"), [(2, 3.0), (3, 0.4), (5, 2.0), (40, 3.5), (1000, 1.0)])
def test_power_is_statsmodels(seeds: int, t: float, cells: int) -> None:
    found = hypothesis_tests.TestResult(1.0, kind=SEEDS, deciding=t, cells=cells)
    expected = TTestPower().power(
        t / math.sqrt(seeds), seeds, 0.05 / 6 / 2, df=cells * (seeds - 1), alternative="larger"
    )
    assert different(found, seeds, seeds, claims=6) == pytest.approx(expected, rel=1e-9)


def test_the_number_of_seeds_is_the_least_of_enough_power() -> None:
    found = hypothesis_tests.TestResult(1.0, kind=SEEDS, deciding=1.2, cells=10)
    needed = seeds_needed(found, 3, claims=4)
    assert needed and different(found, 3, needed, 4) >= 0.8 > different(found, 3, needed - 1, 4)
    assert seeds_needed(hypothesis_tests.TestResult(1.0, kind=SEEDS, deciding=0.001), 3, claims=4) is None


def test_far_in_the_tail_there_is_an_answer() -> None:
    assert different(hypothesis_tests.TestResult(1.0, kind=SEEDS, deciding=4000.0), 2, 900, claims=1) == 1.0
