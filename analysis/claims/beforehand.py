"""Claims before anything is trained: can they be read, and could the planned seeds decide them at all?"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ablations.core.run_spec import plain
from ablations.store.plans import Plan, PlanEntry, parse_plan, read_plans
from analysis.claims.parser import claims_of, read_claims
from analysis.runs.cell import Cell
from analysis.runs.study import NO_STUDY, Study, study
from analysis.runs.text import plural

NAMED = 3
"""Claims that such a sentence names."""


def undecidable(contents: Iterable[dict[str, Any]], results: Path) -> list[str]:
    """A sentence for each planned study with claims that no outcome of its runs could decide.

    With two seeds in some cell of a width, every test has a p as small as the effect is large. With one seed in each,
    the spread between seeds is not known and no test has a p, whatever comes out.

    Args:
        contents: of the plans that will be written; seeds of plans that `results` holds count, too.

    Raises:
        UserError: a claim is malformed.
    """
    read_claims()  # the paper's are read whatever is planned
    plans = [plan for plan in map(parse_plan, contents) if plan]
    known, said = [*plans, *read_plans(results)], []
    for plan in plans:
        if plan.study in NO_STUDY:
            continue
        one = study(plan.study, plan)
        seeds = _seeds(one, [other for other in known if other.scope == plan.scope])
        claims = [claim for claim in claims_of(one) if {*claim.refs} <= {*seeds}]
        spread = {_row(one, ref) for ref, numbers in seeds.items() if len(numbers) > 1}
        lost = [claim.id for claim in claims if any(_row(one, ref) not in spread for ref in claim.refs)]
        if lost:
            which = f"None of the {len(claims)}" if len(lost) == len(claims) else f"{len(lost)} of the {len(claims)}"
            said.append(
                f"{which} {plural(len(claims), 'claim')} of {one.name} that these runs are about can be decided, "
                f"whatever comes out ({', '.join(lost[:NAMED])}{' ...' if len(lost) > NAMED else ''}): one seed a cell "
                "does not tell how far seeds spread. Two seeds could decide them (SEEDS=2)."
            )
    return said


def _seeds(of: Study, plans: Sequence[Plan]) -> dict[Cell, set[int]]:
    """Planned seeds by cell, as claims name cells."""
    found: dict[Cell, set[int]] = {}
    for entry in (entry for plan in plans for entry in plan.runs):
        found.setdefault(planned_cell(of, entry), set()).add(entry.seed)
    return found


def planned_cell(of: Study, entry: PlanEntry) -> Cell:
    """The cell of a planned run, as claims name it."""
    cell = of.cell({**plain(entry.variant), **entry.axes})
    return cell.but({"stem_channels": None}) if of.built_in else Cell.of({axis: cell.get(axis) for axis in of.axes})


def _row(of: Study, ref: Cell) -> tuple[Any, ...]:
    return tuple(ref.get(axis) for axis in of.pool)
