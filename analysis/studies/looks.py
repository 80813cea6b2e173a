"""Takes looks at studies: judges those whose runs have ended, and keeps what was seen in results/looks.json.

`python -m analysis.studies.looks` does so for a sweep between two looks of a plan: the results folder on standard
input, the studies with a plan of looks as the answer, and which of their cells need more seeds.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.files import timestamp
from ablations.core.job_state import FAILURES, JobState
from ablations.core.json_subprocess import answer_json
from ablations.store import lease
from ablations.store.looks import Look, Looks, read_looks, write_looks
from ablations.store.plans import read_plans
from analysis.claims.parser import claims_of
from analysis.claims.verdict import DECIDED, INCONCLUSIVE
from analysis.runs import frame
from analysis.runs.study import Study, studies
from analysis.stats.alpha_spending import spent
from analysis.stats.intervals import LEVEL
from analysis.studies import assemble, selection
from analysis.studies.assemble import Section

WAIT_SECONDS = 0.2


def take(results: Path, runs: pd.DataFrame) -> Looks:
    """Take every look that is due; returns all that were taken. One process at a time, the others find it done.

    Args:
        runs: what frame.runs gives for the folder `results`.
    """
    with _alone(results):
        looks = read_looks(results)
        for study in studies(read_plans(results), runs["belongs_to"]):
            rows = selection.runs_of(study, selection.known(runs))
            for scope in selection.shown(study, rows) if claims_of(study) else []:
                before = _anew(looks, study, scope, _asked(study, scope, rows))
                while look := _due(study, scope, rows, before):  # seeds may be enough for several looks
                    judged = assemble.sections(study, runs, results, measure=False, looks=before.and_these([look]))
                    section = next(one for one in judged if one.protocol_id == scope)
                    before = looks = before.and_these([_seen(look, section)])
                    write_looks(results, looks.taken)
    return looks


def _due(study: Study, scope_id: str, known: pd.DataFrame, looks: Looks) -> Look | None:
    """The look at a study that can be taken now, its verdicts not yet judged.

    Of a plan: all runs of its next look have ended, done or diverged, which they would again. Without one: all planned
    runs have ended, there are more seeds than at the last look, and two of some cell.
    """
    seen, rows = looks.of(study.name, scope_id), known[known[selection.scope(study)] == scope_id]
    asked = _asked(study, scope_id, known)
    if not asked or (seen.plan and seen.over):
        return None
    states: dict[str, dict[int, str]] = {}
    for cell, seed, state in zip(rows["cell_id"], rows["seed"].astype(int), rows["state"], strict=True):
        if not seen.plan or cell not in asked or seed < seen.seeds(cell):
            states.setdefault(cell, {})[seed] = state
    ended = {JobState.DONE, JobState.DIVERGED} if seen.plan else {JobState.DONE, *FAILURES}
    if any(state not in ended for cell in asked for state in states.get(cell, {}).values()):
        return None
    if seen.plan and any(len(states.get(cell, {})) < seen.seeds(cell) for cell in asked):
        return None
    done = {cell: tuple(sorted(s for s, state in mine.items() if state == "done")) for cell, mine in states.items()}
    if not seen.plan and not _newer(done, seen, asked):
        return None
    look = Look(
        study=study.name,
        scope_id=scope_id,
        when=timestamp(),
        seeds={cell: seeds for cell, seeds in sorted(done.items()) if seeds or cell in asked},
        plan=seen.plan,
        spent=spent(1 - LEVEL, seen.plan.shares[len(seen.planned)]) if seen.plan else None,
    )
    return look if seen.plan or look.can_decide else None


def _asked(study: Study, scope_id: str, known: pd.DataFrame) -> set[str]:
    """The cells that are planned for a study."""
    mine = selection.planned_for(study.name, known) & (known[selection.scope(study)] == scope_id)
    return {*known.loc[mine, "cell_id"]}


def _anew(looks: Looks, study: Study, scope_id: str, asked: set[str]) -> Looks:
    """The looks without those that the plan had over fewer cells: they are taken again, by the same rule, over all."""
    seen = looks.of(study.name, scope_id)
    if all(asked <= {*look.seeds} for look in seen.planned):
        return looks
    return Looks(tuple(look for look in looks.taken if look not in seen.planned), looks.plans)


def _newer(done: Mapping[str, Sequence[int]], seen: Looks, cells: Iterable[str]) -> bool:
    """Whether a cell that was looked at before has more seeds now; of the first look, whether there is any."""
    before = seen.taken[-1].seeds if seen.taken else {}
    first = not any(before.values())
    return any({*done.get(cell, ())} - {*before.get(cell, ())} for cell in cells if first or before.get(cell))


def _seen(look: Look, section: Section) -> Look:
    """The look with its verdicts, and the cells that need more seeds: of claims that have runs and are not decided."""
    cells = {cell for one in section.verdicts if one.verdict == INCONCLUSIVE for cell, _ in one.cells if cell}
    verdicts = {one.claim: one.verdict for one in section.verdicts}
    return look.model_copy(update={"verdicts": verdicts, "needed": tuple(sorted(cells))})


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    """Context in which no other process takes looks."""
    while not (mine := lease.take(results, "looks")):
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        mine.release(done=True)


def answer(results: str) -> list[dict[str, Any]]:
    """Of each study with a plan: which look was the last, of how many, its verdicts, and the cells that go on."""
    folder = Path(results)
    looks, found = take(folder, frame.runs(folder)), []
    for study, scope_id in looks.plans:
        seen = looks.of(study, scope_id)
        if seen.plan and seen.planned:
            last, verdicts = seen.planned[-1], [*seen.planned[-1].verdicts.values()]
            found.append(
                {
                    "study": study,
                    "scope_id": scope_id,
                    "look": len(seen.planned),
                    "looks": len(seen.plan.numbers),
                    "seeds": seen.plan.numbers[len(seen.planned) - 1],
                    "decided": sum(verdict in DECIDED for verdict in verdicts),
                    "open": sum(verdict == INCONCLUSIVE for verdict in verdicts),
                    "needed": [] if seen.over else list(last.needed),
                }
            )
    return found


if __name__ == "__main__":
    answer_json(answer)
