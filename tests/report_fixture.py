"""Results that have a bit of everything, and the report on them, for its tests."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis import publish
from analysis.report.page import page
from analysis.runs import frame, macs
from analysis.studies import assemble
from tests import results_fixture as fixture
from tests.verdict_fixture import every_kind


def published(folder: Path, reason: str = "out of memory") -> Path:
    """Both studies with two seeds; one run failed, one not run, one cell of two commits; figures drawn."""
    fixture.plausible(folder, seeds=2)
    failed, absent, other = (fixture.run(4, width, seed=1) for width in (1.0, 0.5, 0.25))
    for one in (failed, absent):
        (folder / "runs" / one.run_id / "result.json").unlink()
    fixture.write_failure(folder, failed, "failed", reason)
    fixture.begin(folder, other, commit="d" * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(macs, "_measure", fixture.cheap_costs)
        publish.publish(folder)
    return folder


def render(results: Path, verdicts: bool = True) -> str:
    """The page with verdicts of every kind, or none, in place of its own."""
    runs = frame.runs(results)
    (groups, *_), (shuffle, *_) = (assemble.sections(study, runs, results) for study in ("groups", "shuffle"))
    if verdicts:
        groups, shuffle = every_kind(groups, shuffle)
    else:
        groups, shuffle = (replace(section, verdicts=()) for section in (groups, shuffle))
    return page(results, runs, [groups], [shuffle])


def page_of(results: Path) -> str:
    """The page of both studies as it is."""
    runs = frame.runs(results)
    return page(results, runs, *(assemble.sections(study, runs, results) for study in ("groups", "shuffle")))
