"""results/looks.json: each reading of a study's verdicts, and the plan of looks (`seeds`) that decides what is trained.

Who adds seeds to claims that are not decided tests them again: docs/statistics.md, "Looking twice". A planned look has
its number of seeds from the plan and spends a share of the level; a look without a plan has the whole level.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from ablations.core.errors import UserError
from ablations.core.files import printable, read_json, write_json
from ablations.core.run_spec import SCHEMA
from ablations.store.records import Record, Text

NAME = "looks.json"

FORM = "write FIRST..MOST, such as seeds=3..8, or {first: 3, most: 8, step: 1}"


class SeedPlan(NamedTuple):
    """Seeds a cell at the first look, at the last, and from one to the next."""

    first: int
    most: int
    step: int = 1

    @property
    def numbers(self) -> list[int]:
        """Seeds a cell at each look."""
        return [*range(self.first, self.most, self.step), self.most]

    @property
    def shares(self) -> list[float]:
        """Share of the most seeds that is in at each look."""
        return [number / self.most for number in self.numbers]


class Look(Record):
    """A reading of the verdicts of a study.

    Attributes:
        scope_id: of its protocol, or of what the study does not vary.
        seeds: the seeds that were done, by cell_id: runs added later are no part of this look.
        verdicts: of each claim, by its id. needed: cells of claims that were left open.
        plan: None of a look that was not planned. spent: of the level, up to and with this look.
    """

    study: str
    scope_id: str
    when: Text = None
    seeds: dict[str, tuple[int, ...]]
    verdicts: dict[str, str] = Field(default_factory=dict)
    needed: tuple[str, ...] = ()
    plan: SeedPlan | None = None
    spent: float | None = None

    @property
    def can_decide(self) -> bool:
        """Whether a cell had two seeds: with one in each no test has a p (stats/estimate.py), and nothing is spent."""
        return any(len(seeds) > 1 for seeds in self.seeds.values())


def seed_plan(given: Any) -> SeedPlan | None:
    """The plan that the key `seeds` describes; None where it is empty.

    Raises:
        UserError: it describes none.
    """
    if given in (None, "", {}):
        return None
    found = re.fullmatch(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", given) if isinstance(given, str) else None
    values = {"first": int(found[1]), "most": int(found[2])} if found else given
    fits = isinstance(values, Mapping) and {"first", "most"} <= {*values} <= {*SeedPlan._fields}
    if not fits or not all(type(value) is int for value in values.values()):
        raise UserError(f"seeds={given} is no plan of looks: {FORM}.")
    plan = SeedPlan(**values)
    if not (2 <= plan.first < plan.most and plan.step >= 1):
        raise UserError(f"seeds={given} is no plan of looks: it needs 2 <= first < most, and a step from 1 ({FORM}).")
    return plan


@dataclass(frozen=True)
class Looks:
    """The looks at some studies, the oldest first, and their plans by study and scope."""

    taken: tuple[Look, ...] = ()
    plans: Mapping[tuple[str, str], SeedPlan] = field(default_factory=dict)

    def of(self, study: str, scope_id: str) -> "Looks":
        """Those at one study."""
        key = study, scope_id
        mine = tuple(look for look in self.taken if (look.study, look.scope_id) == key)
        return Looks(mine, {key: self.plans[key]} if key in self.plans else {})

    def and_these(self, looks: Iterable[Look]) -> "Looks":
        """These and later ones."""
        return Looks((*self.taken, *looks), self.plans)

    @property
    def plan(self) -> SeedPlan | None:
        """The plan, of one study."""
        return next(iter(self.plans.values()), None)

    @property
    def planned(self) -> tuple[Look, ...]:
        """The looks that its plan had so far, of one study."""
        return tuple(look for look in self.taken if look.plan and look.plan == self.plan)

    @property
    def over(self) -> bool:
        """Whether its plan has no further look, of one study: nothing is open, or the most seeds are in."""
        done = self.planned
        return self.plan is None or (bool(done) and (not done[-1].needed or len(done) == len(self.plan.numbers)))

    def seeds(self, cell_id: str) -> int:
        """How many seeds of a cell the next look of the plan is taken at, or was the last, of one study."""
        assert self.plan is not None
        number = self.plan.first
        for look, following in zip(self.planned, self.plan.numbers[1:], strict=False):
            number = following if cell_id in look.needed else number
        return number


def read_looks(results: Path) -> Looks:
    """The looks that were taken at the studies of a results folder, and the plans that its plans of runs have.

    Raises:
        UserError: looks.json is there and cannot be read: without it, levels would be spent twice.
    """
    contents = [read_json(path) or {} for path in sorted((results / "plans").glob("*.json"))]
    given = {
        (str(one.get("study")), str(one.get("scope_id") or one.get("protocol_id"))): definition.get("seeds")
        for one in contents
        if isinstance(definition := one.get("definition"), dict)
    }
    plans = {key: plan for key, seeds in given.items() if (plan := seed_plan(seeds))}
    path = results / NAME
    try:
        found = read_json(path)
        looks = [Look.model_validate(one) for one in printable(found or {})["looks"]] if found or path.exists() else []
    except (KeyError, TypeError, ValidationError):
        raise UserError(
            f"{path} cannot be read: it says which looks were taken. Put it back; or delete it, and looks are counted "
            "from the first again."
        ) from None
    return Looks(tuple(looks), plans)


def write_looks(results: Path, looks: Iterable[Look]) -> None:
    """Write all looks, in place of those that are there."""
    write_json(results / NAME, {"schema": SCHEMA, "looks": [as_json(one) for one in looks]})


def as_json(look: Look) -> dict[str, Any]:
    """A look as it stands in files."""
    plan = {"plan": look.plan._asdict()} if look.plan else {}
    return {**look.model_dump(exclude_none=True), **plan}
