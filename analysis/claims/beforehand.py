"""Claims before anything is trained: can they be read, are they about cells of their study, could its seeds decide?"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError
from ablations.core.run_spec import plain
from ablations.core.text import nearest
from ablations.store.plans import Plan, PlanEntry, parse_plan, read_plans
from analysis.claims.parser import Claim, claims_of, read_claims
from analysis.runs.cell import Cell
from analysis.runs.study import BUILT_IN, FIGURES, NO_STUDY, Study, study

NAMED = 3
"""Claims that such a sentence names."""


def check(plans: Iterable[dict[str, Any]], whole: Iterable[dict[str, Any]], results: Path) -> list[str]:
    """`undecidable`, of plans whose claims are all about cells that their study can have.

    Args:
        whole: plans of all cells of the studies' files, of which a command line may ask for a part.

    Raises:
        UserError: a claim is malformed, or about another cell.
    """
    known = [plan for plan in map(parse_plan, [*plans, *whole]) if plan]
    for name in dict.fromkeys(plan.study for plan in known if plan.study not in NO_STUDY):
        mine = [plan for plan in known if plan.study == name]
        one = study(name, mine[0])
        _check_figures(mine[0])
        papers = [*known, *read_plans(results)] if one.built_in else mine  # their tables show each other's runs
        if said := untestable(one, claims_of(one), (_cell(one, entry) for plan in papers for entry in plan.runs)):
            raise UserError(f"{' '.join(said)} Nothing was trained. Correct the claim, or give the study such a cell.")
    return undecidable(plans, results)


def _check_figures(plan: Plan) -> None:
    """Refuse figures that there are none of, which tables and pages leave out."""
    for name in (plan.definition or {}).get("figures") or ():
        if name not in FIGURES:
            raise UserError(
                f"The study {plan.study} asks for a figure {name}, and there is none of that name: "
                f"{nearest(name, FIGURES)}"
            )


def untestable(of: Study, claims: Iterable[Claim], cells: Iterable[Cell]) -> list[str]:
    """A sentence for each claim about a cell that is none of these: it would stay `not tested` for ever.

    Args:
        cells: all that the study can have; of the paper's studies, those that are printed are added.
    """
    printed = [Cell.of(given) for name in BUILT_IN for given, _ in study(name).published] if of.built_in else []
    there, said = [*cells, *printed], []
    known = {_as_claimed(of, cell) for cell in there}
    for claim in claims:
        lost = next((ref for ref in claim.refs if ref not in known), None)
        if lost is None:
            continue
        text = f"The claim {claim.id} of {of.name} is about {lost.name}, and no cell of the study is that"
        for axis, value in lost.values:
            has = dict.fromkeys(cell.get(axis) for cell in there)
            if value not in has:
                values = ", ".join(str(one) for one in has if one is not None)
                text = f"The claim {claim.id} of {of.name} is about {axis} {value}, and no cell of the study has that: "
                text += f"its {axis} is {values}" if values else f"it has no {axis}"
                break
        said.append(f"{text}.")
    return said[:NAMED]


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
            which, can = f"{len(lost)} of the {len(claims)} claims", "cannot"
            if len(lost) == len(claims):
                which, can = f"None of the {len(claims)} claims", "can"
            if len(claims) == 1:
                which, can = "The one claim", "cannot"
            them, more = "it" if len(lost) == 1 else "them", " ..." if len(lost) > NAMED else ""
            said.append(
                f"{which} of {one.name} that these runs are about {can} be decided, whatever comes out "
                f"({', '.join(lost[:NAMED])}{more}): one seed a cell does not tell how far "
                f"seeds spread. Two seeds could decide {them} (SEEDS=2)."
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
    return _as_claimed(of, _cell(of, entry))


def _cell(of: Study, entry: PlanEntry) -> Cell:
    return of.cell({**plain(entry.variant), **entry.axes})


def _as_claimed(of: Study, cell: Cell) -> Cell:
    return cell.but({"stem_channels": None}) if of.built_in else Cell.of({axis: cell.get(axis) for axis in of.axes})


def _row(of: Study, ref: Cell) -> tuple[Any, ...]:
    return tuple(ref.get(axis) for axis in of.pool)
