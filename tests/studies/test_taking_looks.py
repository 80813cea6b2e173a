"""Looks at a study: when one is due, what it records, and what the page says of it."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from ablations.store import lease
from ablations.store.looks import SeedPlan, read_looks, write_looks
from analysis import publish
from analysis.__main__ import main
from analysis.reference.format import to_files
from analysis.reference.pack import gather, lay_out
from analysis.reference.reader import from_files
from analysis.runs import frame, macs
from analysis.studies import assemble, looks, notes
from tests import results_fixture as fixture

G3, G8 = "shuffle-helps-0.25x-g3", "shuffle-helps-0.25x-g8"
PROTOCOL_ID = fixture.run(3, 0.25).protocol_id
CELLS = {(g, s): fixture.run(g, 0.25, s).cell_id for g in (3, 8) for s in (True, False)}


def study(results: Path, seeds: dict[tuple[int, bool], int], plan: SeedPlan | None = None) -> None:
    """Table 3 at 0.25x: without shuffle eight groups are far worse, three are not; planned and done so far."""
    noise = np.random.default_rng(3)
    errors = {key: (0.5 if key == (8, False) else 0.3) + noise.normal(0, 0.01, 8) for key in CELLS}
    runs = [fixture.run(g, 0.25, s, seed) for (g, s), number in seeds.items() for seed in range(number)]
    for one in runs:
        key = (one.variant.axes["groups"], one.variant.axes["shuffle"])
        fixture.write_done(results, one, float(errors[key][one.seed]))
    path = fixture.write_plan(results, "shuffle", runs)
    if plan:
        path.write_text(json.dumps({**json.loads(path.read_text()), "definition": {"seeds": plan._asdict()}}))


def take(results: Path) -> tuple[looks.Looks, dict[str, str], list[str]]:
    """All looks at the study, its verdicts as they are shown, and what is said of the looks."""
    found = looks.take(results, frame.runs(results)).of("shuffle", PROTOCOL_ID)
    assert read_looks(results).of("shuffle", PROTOCOL_ID) == found
    (section,) = assemble.sections("shuffle", frame.runs(results), results)
    return found, {one.claim: one.verdict for one in section.verdicts}, list(section.looks)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(macs, "_measure", fixture.cheap_costs)


def all_cells(number: int) -> dict[tuple[int, bool], int]:
    return dict.fromkeys(CELLS, number)


def test_a_look_sends_on_the_cells_of_open_claims_alone(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    found, verdicts, said = take(tmp_path)
    (look,) = found.taken
    assert look.verdicts == verdicts and (verdicts[G3], verdicts[G8]) == ("inconclusive", "supported")
    assert {*look.needed} == {CELLS[3, True], CELLS[3, False]} and not found.over
    assert look.seeds == dict.fromkeys(sorted(CELLS.values()), (0, 1, 2)) and 0 < look.spent < 0.05
    assert said[0].startswith("Look 1 of at most 3, planned: 3 of at most 5 seeds a cell.")
    assert take(tmp_path)[0] == found, "the same look again is none"


def test_runs_of_the_next_look_change_nothing_until_all_have_ended(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    first = take(tmp_path)
    study(tmp_path, {**all_cells(3), (3, True): 4}, SeedPlan(3, 5))
    assert take(tmp_path) == first
    study(tmp_path, {**all_cells(3), (3, True): 4, (3, False): 4}, SeedPlan(3, 5))
    found, _, said = take(tmp_path)
    assert len(found.taken) == 2 and said[0].startswith("Look 2 of at most 3, planned: 4 of at most 5")
    assert found.taken[1].seeds[CELLS[3, True]] == (0, 1, 2, 3) and found.taken[1].seeds[CELLS[8, True]] == (0, 1, 2)
    assert found.taken[0] == first[0].taken[0] and found.taken[1].spent > found.taken[0].spent


def test_seeds_that_were_there_before_take_all_their_looks_at_once(tmp_path):
    study(tmp_path, all_cells(8), SeedPlan(3, 5))
    found, _, said = take(tmp_path)
    assert [len(look.seeds[CELLS[3, True]]) for look in found.taken] == [3, 4, 5] and found.over
    assert {len(look.seeds[CELLS[8, True]]) for look in found.taken} == {3}, "its claims were decided at the first"
    assert "5 points are spent. It was the last." in said[0]


def test_a_verdict_stays_that_of_the_look_that_decided_it_and_says_so(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    take(tmp_path)
    study(tmp_path, all_cells(5), SeedPlan(3, 5))
    take(tmp_path)
    (section,) = assemble.sections("shuffle", frame.runs(tmp_path), tmp_path)
    of = {one.claim: one for one in section.verdicts}
    assert (
        of[G8].seeds_most == 3 and "Decided at look 1, before the last, so the effect is probably less" in of[G8].reason
    )
    assert of[G3].seeds_most == 5 and "before the last" not in of[G3].reason


def test_before_the_first_look_nothing_is_decided(tmp_path):
    study(tmp_path, all_cells(2), SeedPlan(3, 5))
    found, verdicts, said = take(tmp_path)
    assert not found.taken and verdicts[G8] == "inconclusive" and "nothing is decided yet" in said[0]
    study(tmp_path, all_cells(2))
    assert take(tmp_path)[1][G8] == "supported"


def test_a_diverged_run_ends_a_look_and_a_failed_one_does_not(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    lost = fixture.run(3, 0.25, True, 2)
    (tmp_path / "runs" / lost.run_id / "result.json").unlink()
    fixture.write_failure(tmp_path, lost, "failed")
    assert not take(tmp_path)[0].taken
    fixture.write_failure(tmp_path, lost, "diverged")
    assert take(tmp_path)[0].taken[0].seeds[CELLS[3, True]] == (0, 1)


def test_seeds_without_a_plan_are_counted_and_the_rate_is_said(tmp_path):
    study(tmp_path, all_cells(2))
    found, _, said = take(tmp_path)
    assert len(found.taken) == 1 and not said, "one look is what the verdicts are made for"
    study(tmp_path, {**all_cells(2), (3, True): 3})
    assert len(take(tmp_path)[0].taken) == 2
    study(tmp_path, all_cells(5))
    found, verdicts, said = take(tmp_path)
    assert len(found.taken) == 3 and {look.plan for look in found.taken} == {None} and verdicts[G8] == "supported"
    assert "read 3 times" in said[0] and f"{notes.UNPLANNED[3]:.0%} of studies" in said[0] and "SEEDS=3..8" in said[0]
    study(tmp_path, all_cells(8), SeedPlan(8, 9))
    _, _, said = take(tmp_path)
    assert said[0].startswith("Look 1 of at most 2") and "read 4 times" in said[1] and "3 of them unplanned" in said[1]


def test_one_seed_a_cell_decides_nothing_and_is_no_look(tmp_path):
    study(tmp_path, all_cells(1))
    found, verdicts, _ = take(tmp_path)
    assert not found.taken and {*verdicts.values()} <= {"inconclusive", "not tested"}
    before = looks.Look(study="shuffle", scope_id=PROTOCOL_ID, seeds=dict.fromkeys(CELLS.values(), (0,)))
    write_looks(tmp_path, [before])  # as it was counted before
    study(tmp_path, all_cells(2))
    found, _, said = take(tmp_path)
    assert len(found.taken) == 2 and not said, "the first look that could decide is the first"


def test_new_cells_are_no_second_look(tmp_path):
    study(tmp_path, {key: 2 for key in CELLS if key[0] == 3})
    take(tmp_path)
    study(tmp_path, all_cells(2))
    assert len(take(tmp_path)[0].taken) == 1


def test_a_plan_with_more_cells_takes_its_looks_again_over_all(tmp_path):
    study(tmp_path, {key: 3 for key in CELLS if key[0] == 8}, SeedPlan(3, 5))
    assert take(tmp_path)[0].over
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    found, verdicts, said = take(tmp_path)
    assert len(found.taken) == 1 and {*found.taken[0].seeds} == {*CELLS.values()} and not found.over
    assert (verdicts[G3], verdicts[G8]) == ("inconclusive", "supported") and len(said) == 1
    assert take(tmp_path)[0] == found


def test_publishing_takes_a_look_where_it_is_asked_to(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    publish.publish(tmp_path)
    assert not (tmp_path / "looks.json").exists()
    page = tmp_path / "report.html"
    assert "nothing is decided yet" in page.read_text()
    assert (
        main(["--results", str(tmp_path), "--force"]) == 0
    )  # what a sweep calls at its end, and the task that ends the last run
    assert "Look 1 of at most 3" in page.read_text() and "Decided at look 1" in page.read_text()
    assert "Look 1 of at most 3" in (tmp_path / "tables" / "claims.md").read_text()
    before = page.stat().st_mtime_ns
    publish.publish(tmp_path, look=True)
    assert page.stat().st_mtime_ns == before, "nothing is written anew for a look that is on the page"
    write_looks(tmp_path, [])
    publish.publish(tmp_path)
    assert page.stat().st_mtime_ns != before


def test_two_that_end_a_look_at_once_take_one(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    runs, holder = frame.runs(tmp_path), lease.take(tmp_path, "looks")
    assert holder
    both = [threading.Thread(target=looks.take, args=(tmp_path, runs)) for _ in range(2)]
    for one in both:
        one.start()
    both[0].join(0.5)
    assert both[0].is_alive() and not (tmp_path / "looks.json").exists()
    holder.release(done=True)
    for one in both:
        one.join()
    assert len(read_looks(tmp_path).taken) == 1


def test_the_answer_to_a_sweep_says_which_cells_go_on(tmp_path):
    study(tmp_path, all_cells(3), SeedPlan(3, 5))
    (one,) = looks.answer(str(tmp_path))
    assert (one["study"], one["look"], one["looks"], one["seeds"]) == ("shuffle", 1, 3, 3)
    assert {*one["needed"]} == {CELLS[3, True], CELLS[3, False]} and (one["decided"], one["open"]) == (2, 1)


def test_a_committed_study_keeps_its_looks(tmp_path):
    study(tmp_path / "here", all_cells(3), SeedPlan(3, 5))
    found, verdicts, _ = take(tmp_path / "here")
    (tmp_path / "packed").mkdir()
    for name, content in to_files(gather(tmp_path / "here")).items():
        (tmp_path / "packed" / name).write_bytes(content)
    lay_out(from_files(tmp_path / "packed"), tmp_path / "there")
    assert take(tmp_path / "there")[:2] == (found, verdicts)
    (tmp_path / "here" / "looks.json").unlink()
    assert "looks" not in json.loads(to_files(gather(tmp_path / "here"))["study.json"])
