"""Plans in results/plans: the runs that a study asked for under a protocol."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from ablations.core.files import make_folder, printable, read_json, timestamp, write_json
from ablations.core.run_spec import SCHEMA, Protocol, Run, Variant, Whole, complaint, from_json, plain
from ablations.store.records import Record, RunId, Text
from ablations.store.run_folder import is_id, path_of

STUDY = "in no plan"
"""Name of the study in a `Plan` of runs that no plan names."""


class PlanEntry(Record):
    """A run of a plan; the protocol is the plan's, or one of its `protocols`.

    Attributes:
        axes: values of the study's axes in recipe and data, by key (`recipe.lr`).
    """

    run_id: RunId
    cell_id: str
    seed: Whole
    variant: Variant
    protocol_id: str | None = None
    axes: dict[str, Any] = Field(default_factory=dict)


class Plan(Record):
    """The runs of a study under a protocol; `preset` is None for runs that no plan names.

    Attributes:
        scope_id: identity of all that the study does not vary, where it varies recipe or data; else None.
        protocols: then those of its runs, by protocol_id.
        definition: of the study, as it was planned; None in plans from before there were any.
        unreadable: reasons why entries of the file are left out, by run id.
    """

    study: str
    preset: str | None
    protocol_id: str
    protocol: Protocol
    runs: tuple[PlanEntry, ...]
    scope_id: str | None = None
    protocols: dict[str, Protocol] = Field(default_factory=dict)
    definition: dict[str, Any] | None = None
    command: Text = None
    written: Text = None
    unreadable: dict[RunId, str] = Field(default_factory=dict)

    def described(self) -> Iterator[tuple[PlanEntry, Run]]:
        """Each entry with the description of its run."""
        for entry in self.runs:
            protocol = self.protocols.get(entry.protocol_id or "", self.protocol)
            yield entry, Run(entry.variant, protocol, entry.seed)

    @property
    def scope(self) -> str:
        """Identity of what its study does not vary: `scope_id` or, where that is the whole protocol, its id."""
        return self.scope_id or self.protocol_id

    @property
    def file_name(self) -> str:
        """Its name in results/plans."""
        return f"{self.study}-{self.scope}.json"


class PlannedRun(NamedTuple):
    """A run that a study asks for.

    Attributes:
        scope_id: identity of all that its study does not vary, where it varies more than the network; else None.
        axes: values of axes in recipe and data, which the description of the network does not hold.
    """

    study: str
    preset: str
    run: Run
    scope_id: str | None = None
    axes: Mapping[str, Any] = {}

    @property
    def scope(self) -> str:
        """As of a plan."""
        return self.scope_id or self.run.protocol_id


def write_plans(
    jobs: Iterable[PlannedRun], results: Path, command: str, definitions: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write a plan for each study and scope, so that tables can tell a missing run from an unplanned one.

    Args:
        jobs: before equal runs are merged: a run of two studies is in both plans.
        results: must exist; it is not made anew where it was moved away.
        command: the command line that asked for the runs.
        definitions: of studies by name; see sweep/study.py.
    """
    for content in contents(jobs, definitions):
        path = results / "plans" / f"{content['study']}-{content.get('scope_id') or content['protocol_id']}.json"
        make_folder(path.parent, results)
        known = read_json(path) or {}
        stored = json.loads(json.dumps(content))  # as it reads back: tuples are lists
        if any(known.get(key) != value for key, value in stored.items()):
            stamp = {"command": command, "written": timestamp()}
            write_json(path, {**content, **stamp})


def contents(
    jobs: Iterable[PlannedRun], definitions: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """The plan of each study and scope, but for its command and time; arguments as for `write_plans`."""
    together: dict[tuple[str, str], dict[str, PlannedRun]] = {}
    for job in jobs:
        together.setdefault((job.study, job.scope), {}).setdefault(job.run.run_id, job)
    for (study, scope), unique in together.items():
        planned = list(unique.values())
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "study": study,
            "preset": planned[0].preset,
            "protocol_id": planned[0].run.protocol_id,
            "protocol": plain(planned[0].run.protocol),
            "runs": [_entry(one) for one in planned],
        }
        if planned[0].scope_id:
            content["scope_id"] = scope
            content["protocols"] = {one.run.protocol_id: plain(one.run.protocol) for one in planned}
        if definitions and study in definitions:
            content["definition"] = definitions[study]
        yield content


def _entry(one: PlannedRun) -> dict[str, Any]:
    run = one.run
    entry = {"run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "variant": plain(run.variant)}
    return {**entry, "protocol_id": run.protocol_id, "axes": dict(one.axes)} if one.scope_id else entry


def read_plans(results: Path) -> list[Plan]:
    """The latest plan of each study under each protocol, sorted by file name; files that are no plan are left out."""
    return list(plan_files(results).values())


def plan_files(results: Path) -> dict[Path, Plan]:
    """The same by path of the file."""
    found = {path: parse_plan(printable(read_json(path))) for path in sorted((results / "plans").glob("*.json"))}
    return {path: plan for path, plan in found.items() if plan}


def parse_plan(content: dict[str, Any] | None) -> Plan | None:
    """The plan in the content of a file, or None where it is none.

    An entry that cannot be represented, such as one with a seed beyond 64 bits, is listed in `unreadable`; the others
    are kept.
    """
    entries: list[PlanEntry] = []
    unreadable: dict[str, str] = {}
    try:
        for entry in (content or {})["runs"]:
            try:
                entries.append(PlanEntry.model_validate(entry))
            except ValidationError as error:
                unreadable[entry["run_id"]] = complaint(error)
        return Plan.model_validate({**(content or {}), "runs": tuple(entries), "unreadable": unreadable})
    except (KeyError, TypeError, ValueError):
        return None


def unplanned(results: Path, known: Sequence[Plan]) -> list[Plan]:
    """A `Plan` for each protocol with the runs that no plan names; runs with an invalid run.json are left out.

    Args:
        known: all plans.
    """
    planned = {entry.run_id for plan in known for entry in plan.runs}
    found: dict[str, tuple[Protocol, list[PlanEntry]]] = {}
    for run_id in sorted(filter(is_id, _names(results / "runs") - planned)):
        with suppress(KeyError, TypeError, ValueError):
            run = from_json(printable(read_json(path_of(results, run_id) / "run.json") or {}))
            entry = PlanEntry(run_id=run_id, cell_id=run.cell_id, seed=run.seed, variant=run.variant)
            found.setdefault(run.protocol_id, (run.protocol, []))[1].append(entry)
    return [
        Plan(study=STUDY, preset=None, protocol_id=protocol_id, protocol=protocol, runs=tuple(entries))
        for protocol_id, (protocol, entries) in found.items()
    ]


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()
