"""Signal and noise against simulated studies of known spreads."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.signal import CellMean, SignalAndNoise, signal_and_noise


def simulated(signal: float, noise: float, cells: int = 400, seeds: int = 3, rows: int = 2) -> SignalAndNoise:
    source = np.random.default_rng(0)
    found = []
    for row in range(rows):
        for mean in 40 * row + source.normal(0, signal, cells):
            errors = source.normal(mean, noise, seeds)
            found.append(CellMean(row, float(errors.mean()), seeds, float(errors.std(ddof=1)), cells * (seeds - 1)))
    both = signal_and_noise(found)
    assert both
    return both


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 0.3), (0.5, 1.0), (2.0, 2.0)])
def test_seed_noise_is_taken_out_of_the_spread_of_means(signal, noise):
    found = simulated(signal, noise)
    assert (found.signal, found.noise) == pytest.approx((signal, noise), rel=0.08)
    assert found.usual == pytest.approx(math.sqrt(2) * found.signal) and found.seeds == 3


def test_means_that_differ_by_noise_alone_have_no_signal():
    assert simulated(0.0, 1.0).signal < 0.15
    flat = signal_and_noise([CellMean(0, 40.0, 3, 1.0, 4), CellMean(0, 40.1, 3, 1.0, 4)])
    assert flat and (flat.signal, flat.seeds_needed) == (0.0, 0)


def test_the_least_difference_is_found_four_times_in_five():
    found = signal_and_noise([CellMean(0, mean, 5, 0.5, 8) for mean in (10.0, 12.0)])
    assert found
    shift = found.least / (0.5 * math.sqrt(2 / 5))
    assert stats.nct.sf(stats.t.isf(0.025, 8), 8, shift) == pytest.approx(0.8, abs=0.02)


def test_seeds_needed_shrink_with_the_square_of_the_ratio():
    one, far = SignalAndNoise(1.0, 1.0, 3, 0.0), SignalAndNoise(0.1, 1.0, 3, 0.0)
    assert one.seeds_needed == math.ceil((1.96 + 0.8416) ** 2) and far.seeds_needed == math.ceil(100 * 7.849)


def test_what_has_no_second_cell_or_no_spread_is_left_out():
    alone, unknown = CellMean(0, 1.0, 3, 1.0, 2), CellMean(1, 1.0, 1, math.nan, 0)
    assert signal_and_noise([alone, unknown, unknown]) is None
