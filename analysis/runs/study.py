"""A study as data: its axes, how its table is laid out, its claims and figures, and what a paper prints for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from ablations.core.errors import UserError
from ablations.core.paths import CONF
from ablations.store.plans import Plan
from analysis.runs.cell import AXES, Cell

BUILT_IN = ("groups", "shuffle")
"""The paper's Tables 2 and 3."""

NO_STUDY = ("single",)
"""What plans of runs without a grid are called."""

FIGURES = ("change_by_axis", "error_by_axis", "gain", "error_by_cell", "error_by_macs")
"""What a study may ask for; functions of studies/figures/panels.py and, as words, of report/alt.py."""


@dataclass(frozen=True)
class Number:
    """A printed number and where the paper prints it."""

    value: float
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.value} ({', '.join(filter(None, (self.table, self.column)))})"


@dataclass(frozen=True)
class Gain:
    """The axis whose two arms a table compares, and the value of either arm."""

    axis: str
    worse: Any
    better: Any

    @property
    def word(self) -> str:
        """`shuffle`, `label smoothing`."""
        return words(self.axis)

    @property
    def arms(self) -> tuple[str, str]:
        """How sentences name the arms: `without shuffle`, `with it`, or `at label smoothing 0`, `at 0.1`."""
        if self.worse is False and self.better is True:
            return f"without {self.word}", "with it"
        return f"at {self.word} {self.worse}", f"at {self.better}"

    @property
    def helps(self) -> str:
        """What a gain above 0 says: `shuffle helps`."""
        return f"{self.word} helps" if self.better is True else f"{self.word} {self.better} is better"

    @property
    def sign(self) -> str:
        """What the sign of Δ means."""
        worse, better = self.arms
        return f"Δ is the error {worse} minus the error {better}: above 0, {self.helps}."


@dataclass(frozen=True)
class Study:
    """A study. Axes are named as columns of the frame of runs: `width`, `recipe.label_smoothing`.

    Attributes:
        title: a few words; heading: of its table; table: stem of the table's files.
        axes: that it varies; rows, columns: of these, where the table has them; pool: whose cells share a spread.
        defaults: values of axes that a claim, a printed number or a run's description leaves out.
        families: the same by structure, where the study has several.
        gain: the comparison that the table's last column shows.
        figures: stem of the file by name of the figure; captions: what stands below them on the page.
        claims: as data; None where they stand in analysis/claims.yaml. claims_file: what the page calls their file.
        published: what a paper prints, by the axes that it is printed for.
    """

    name: str
    title: str
    heading: str
    table: str
    axes: tuple[str, ...]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    gain: Gain | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    families: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    claims: tuple[Mapping[str, Any], ...] | None = None
    claims_file: str = "analysis/claims.yaml"
    published: tuple[tuple[Mapping[str, Any], Number], ...] = ()

    @property
    def built_in(self) -> bool:
        """Whether it is one of the paper's that this project brings."""
        return self.name in BUILT_IN

    @property
    def curves(self) -> str:
        """Stem of the file of its training curves; the paper's studies share one."""
        return "curves" if self.built_in else f"{self.name}_curves"

    @property
    def label(self) -> str:
        """`Table 2`, or the heading where the table has no number."""
        return self.heading.partition(". ")[0]

    def row_axes(self, *more: str) -> list[str]:
        """The axes that tell rows of the table apart, and `more`: networks of several structures never share one."""
        return list(dict.fromkeys(["structure", *self.rows, *more]))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Axes that are no part of the network: runs of one table then differ in their protocol."""
        return tuple(axis for axis in self.axes if "." in axis)

    def cell(self, row: Any) -> Cell:
        """The cell of a run, from a row of the frame; axes of other studies at their default are left out."""
        axes, usual = (*AXES, *self.axes), self.defaults_of(row.get("structure"))
        given = Cell.of({axis: row.get(axis) for axis in axes})
        return Cell.of({**{axis: usual.get(axis) for axis in axes}, **dict(given.values)})

    def paper(self, cell: Cell) -> Number | None:
        """The error in percent that the paper prints for a cell."""
        for given, number in self.published:
            usual = self.defaults_of(given.get("structure"))
            whole = {**{axis: usual[axis] for axis in self.axes if axis in usual}, **given}
            if all(cell.get(axis, value) == value for axis, value in whole.items() if value is not None):
                return number
        return None

    def defaults_of(self, structure: Any) -> Mapping[str, Any]:
        """Values that descriptions of a structure leave out."""
        return self.families.get(str(structure), self.defaults)

    def paper_gain(self, better: Cell) -> Number | None:
        """Percentage points that the gain of a cell's better arm has in the paper."""
        if not self.gain:
            return None
        off, on = self.paper(better.but({self.gain.axis: self.gain.worse})), self.paper(better)
        return Number(round(off.value - on.value, 1), off.table, "Δ err. (%)") if off and on else None


def words(axis: str) -> str:
    """An axis in words: `label smoothing` of `recipe.label_smoothing`."""
    return {"groups": "number of groups"}.get(axis, axis.rpartition(".")[2].replace("_", " "))


def studies(plans: Iterable[Plan], belongs_to: Iterable[str]) -> list[Study]:
    """The studies of a results folder: the paper's first, the others by name.

    The paper's are left out where all runs belong to other studies.

    Args:
        belongs_to: of each run, as frame.runs gives it.
    """
    given = {plan.study: plan for plan in sorted(plans, key=lambda plan: plan.written or "")}
    others = {name for name in given if name not in (*BUILT_IN, *NO_STUDY)}
    papers = BUILT_IN if any(not names or {*names.split(",")} - others for names in belongs_to) else ()
    return [study(name, given.get(name)) for name in (*papers, *sorted(others))]


def study(name: str, plan: Plan | None = None) -> Study:
    """A study from its plan, else as this project brings it, else a plain table of whatever varies in the plan."""
    own = {key: value for key, value in ((plan and plan.definition) or {}).items() if value not in (None, [], {}, "")}
    if name in BUILT_IN:  # what its table names are its axes
        own = {key: value for key, value in own.items() if key not in ("axes", "defaults")}
    definition = {**built_in(name), **own}
    try:
        return parse(name, definition or _plain(plan))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The plan of {name} does not define a study ({type(error).__name__}: {error}).") from None


@cache
def built_in(name: str) -> Mapping[str, Any]:
    """The definition of a study of the paper's from its file in conf/ablation; empty for any other name."""
    if name not in BUILT_IN:
        return {}
    found: dict[str, Any] = yaml.safe_load((CONF / "ablation" / f"{name}.yaml").read_text(encoding="utf-8"))
    grid = found.pop("hydra")["sweeper"]["params"]
    axes = [axis for axis, values in grid.items() if "," in values]
    return {**found, "axes": axes, "defaults": {"structure": "shufflenet", "model.shuffle": True}}


def parse(name: str, definition: Mapping[str, Any]) -> Study:
    """A study from its definition. KeyError, TypeError, ValueError or AttributeError: it is none."""
    table, papers = definition.get("table") or {}, name in BUILT_IN
    axes = tuple(column(axis) for axis in definition["axes"] if column(axis) != "stem_channels")
    gain = table.get("gain")
    found = Gain(column(gain["axis"]), gain["from"], gain["to"]) if gain else None
    columns = tuple(column(axis) for axis in table.get("columns") or ([found.axis] if found else []))
    rows = tuple(column(axis) for axis in table.get("rows") or ())
    if not papers:  # no two cells share a place: what the table leaves out has a row of its own
        rows += tuple(axis for axis in axes if axis not in (*rows, *columns))
    defaults = {column(axis): value for axis, value in (definition.get("defaults") or {}).items()}
    title = str(definition.get("title") or table.get("title") or name)
    named = definition.get("figures") or []
    files = named if isinstance(named, Mapping) else {one: f"{name}_{one}" for one in named}
    claims, margin = definition.get("claims"), definition.get("margin")
    usual = {} if margin is None else {"margin": margin}  # of claims that have none of their own
    elsewhere = papers and claims is None
    stand_in = "analysis/claims.yaml" if elsewhere else f"the file of the study {name}"
    own = tuple({**usual, **one} if isinstance(one, Mapping) else one for one in claims or ())
    return Study(
        name=name,
        title=title,
        heading=str(table.get("title") or title),
        table=str(table.get("name") or name),
        axes=axes,
        rows=rows,
        columns=columns,
        pool=tuple(dict.fromkeys(["structure", *(column(axis) for axis in table.get("pool") or [])])),
        gain=found,
        defaults=defaults,
        families={
            one: {column(axis): value for axis, value in usual.items()}
            for one, usual in (definition.get("families") or {}).items()
        },
        figures={one: str(file) for one, file in files.items() if one in FIGURES and (found or one != "gain")},
        captions=dict(definition.get("captions") or {}),
        claims=None if elsewhere else own,
        claims_file=str(definition.get("claims_file") or stand_in),
        published=tuple(
            (
                {**(defaults if papers else {}), **{column(a): value for a, value in one["cell"].items()}},
                Number(float(one["error"]), str(one.get("table") or ""), str(one.get("column") or "")),
            )
            for one in definition.get("published") or ()
        ),
    )


def column(axis: str) -> str:
    """The column of an axis in the frame of runs: keys of `model` have no prefix there."""
    return str(axis).removeprefix("model.")


def _plain(plan: Plan | None) -> dict[str, Any]:
    """A definition of a study that has none: its axes are those that vary in the plan."""
    from ablations.core.run_spec import plain

    found: dict[str, set[Any]] = {}
    for entry in plan.runs if plan else ():
        for axis, value in plain(entry.variant).items():
            found.setdefault(axis, set()).add(value)
    return {"axes": [axis for axis, values in found.items() if len(values) > 1 and axis != "stem_channels"]}
