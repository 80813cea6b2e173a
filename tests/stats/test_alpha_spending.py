"""Levels over several looks, against published tables and against simulated walks."""

import numpy as np
import pytest
from scipy import special

from analysis.stats.alpha_spending import UNPLANNED, _crossed, _go_on, nominal_levels, sequential_p, spent


def rate(levels: list[float], fractions: list[float]) -> float:
    """Chance that a claim without an effect is decided at some look, tested at these two-sided levels."""
    walk, total = None, 0.0
    for k, level in enumerate(levels):
        bound = -float(special.ndtri(level / 2))
        total += _crossed(walk, fractions[: k + 1], bound)
        walk = _go_on(walk, fractions[: k + 1], bound)
    return total


@pytest.mark.parametrize(
    ("looks", "bounds"),
    [
        (1, [1.9600]),
        (2, [2.9626, 1.9686]),
        (3, [3.7103, 2.5114, 1.9930]),
        (4, [4.3326, 2.9631, 2.3590, 2.0141]),
        (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_bounds_are_those_of_lan_and_demets(looks: int, bounds: list[float]) -> None:
    """O'Brien-Fleming type spending, equal steps, two-sided 5 %: Reboussin et al., 2000."""
    levels = nominal_levels(0.05, [k / looks for k in range(1, looks + 1)])
    assert [-special.ndtri(level / 2) for level in levels] == pytest.approx(bounds, abs=6e-4)


@pytest.mark.parametrize(
    ("looks", "published"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193)]
)
def test_looking_often_at_the_full_level_errs_as_armitage_says(looks: int, published: float) -> None:
    """Armitage, McPherson and Rowe, 1969, table 2: repeated tests at 5 %."""
    assert rate([0.05] * looks, [k / looks for k in range(1, looks + 1)]) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("fractions", [[3 / 8, 5 / 8, 1.0], [2 / 10, 3 / 10, 6 / 10, 7 / 10, 1.0]])
@pytest.mark.parametrize("alpha", [0.05, 0.004])
def test_all_looks_together_err_at_the_level(fractions: list[float], alpha: float) -> None:
    levels = nominal_levels(alpha, fractions)
    assert rate(levels, fractions) == pytest.approx(alpha, rel=1e-6)
    assert levels == sorted(levels) and spent(alpha, 1.0) == pytest.approx(alpha)
    steps = np.diff([0, *fractions])
    walks = np.random.default_rng(0).normal(size=(200_000, len(steps))) * np.sqrt(steps)
    z = np.abs(walks.cumsum(1)) / np.sqrt(fractions)
    crossed = (2 * special.ndtr(-z) <= levels).any(1).mean()
    assert crossed == pytest.approx(alpha, abs=4 * (alpha / 200_000) ** 0.5)


@pytest.mark.parametrize(("plan", "cells"), [((3, 4, 5, 6, 7, 8), 2), ((3, 4, 5, 6, 7, 8), 5), ((2, 4, 6, 8, 10), 2)])
def test_looks_at_a_t_of_few_cells_err_at_the_level(plan: tuple[int, ...], cells: int) -> None:
    """Levels of a normal statistic would err in 5.5, 5.2 and 5.2 %."""
    source, studies, level = np.random.default_rng(0), 200_000, 0.05
    levels = nominal_levels(level, [seeds / plan[-1] for seeds in plan], cells)
    total, squares, before, wrong = np.zeros(studies), np.zeros(studies), 0, np.zeros(studies, bool)
    for seeds, nominal in zip(plan, levels, strict=True):
        new, others = seeds - before, (cells - 1) * (seeds - max(before, 1))  # of the contrast, and beside it
        step = source.normal(size=studies) * new**0.5
        squares += step**2 / new + source.chisquare(others + new - 1, studies)
        total, before = total + step, seeds
        df = cells * (seeds - 1)
        t = total / (seeds * (squares - total**2 / seeds) / df) ** 0.5
        wrong |= 2 * special.stdtr(df, -np.abs(t)) <= nominal
    assert wrong.mean() == pytest.approx(level, abs=0.0015)


@pytest.mark.parametrize("fractions", [(1.0,), (3 / 8, 1.0), (3 / 8, 4 / 8, 5 / 8)])
@pytest.mark.parametrize("p", [0.03, 0.002])
def test_the_sequential_p_is_the_level_that_just_rejects(fractions: tuple[float, ...], p: float) -> None:
    found = sequential_p(p, fractions)
    assert nominal_levels(found, fractions)[-1] == pytest.approx(p, rel=2e-3) and found > 0.999 * p


def test_shares_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        nominal_levels(0.05, [0.5, 0.5, 1.0])


def test_a_study_errs_by_unplanned_looks_as_often_as_the_page_says() -> None:
    """Six gains of 4 cells each, with one spread a width of 8 cells: Table 3 in short, looked at from 2 seeds on."""
    studies, widths, cells = 10_000, 3, 8
    errors = np.random.default_rng(0).normal(size=(studies, widths, cells, 6)).astype(np.float32)
    level, wrong = 1 - 0.95 ** (1 / 6), np.zeros(studies, bool)
    for looks, seeds in enumerate(range(2, 7), start=1):
        now = errors[..., :seeds]
        means, sd = now.mean(3), np.sqrt(now.var(3, ddof=1).mean(2))
        gains = means.reshape(studies, widths, 2, 4) @ np.array([1, -1, -1, 1])
        t = np.abs(gains) / (2 * sd[..., None] / seeds**0.5)
        wrong |= (2 * special.stdtr(cells * (seeds - 1), -t) <= level).any((1, 2))
        assert wrong.mean() == pytest.approx(UNPLANNED.get(looks, 0.05), rel=0.1)
