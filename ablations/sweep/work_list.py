"""A list of jobs on the shared disk, from which tasks of a cluster, or any host that shares the folder, take runs.

Written whole before the first task is submitted, and read by each: composed configurations, nothing left to resolve but
where the data set's cache lies. What all jobs share (settings, protocol, data) is kept once.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ablations import data
from ablations.core import config as configs
from ablations.core.config import DataConfig, LoggerConfig, RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.files import make_folder, read_json, write_json
from ablations.core.run_spec import DataSpec, digest, from_json, plain
from ablations.execution.job import Job
from ablations.sweep.plan import Planned, to_job

SCHEMA = 1
"""Version of the list's form."""

NAME = "jobs.json"


@dataclass(frozen=True)
class JobList:
    """What a list holds. `written`: when, by the file system's clock, in ns: what is newer came of this list."""

    path: Path
    jobs: tuple[Job, ...]
    data: dict[DataSpec, DataConfig]
    runtime: RuntimeConfig
    written: int


def folder_of(results: Path, run_ids: Sequence[str]) -> Path:
    """Where the list of these runs lies: the same runs, the same folder."""
    return results.resolve() / "tasks" / digest({"results": str(results.resolve()), "runs": sorted(run_ids)})


def write_job_list(planned: Sequence[Planned], device: str, runtime: RuntimeConfig) -> Path:
    """Write the list of planned runs, to be trained on `device`; returns its path."""
    results = Path(planned[0].config.runtime.results_dir).resolve()
    settings: dict[str, Any] = {}
    protocols: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for one in planned:
        job = replace(to_job(one, Path()), device=device)
        shared = {f.name: getattr(job, f.name) for f in fields(Job) if f.name not in ("run", "data_folder", "results")}
        source = one.config.data
        source = replace(source, dir=_absolute(source.dir), cache_dir=_absolute(source.cache_dir))
        rows.append(
            {
                "run_id": one.run.run_id,
                "seed": one.run.seed,
                "variant": plain(one.run.variant),
                "protocol": _once(protocols, asdict(one.run.protocol)),
                "data": _once(sources, {"kind": type(source).__name__, **asdict(source)}),
                "settings": _once(
                    settings, {**shared, "logger": asdict(job.logger), "source": job.source and str(job.source)}
                ),
            }
        )
    path = folder_of(results, [row["run_id"] for row in rows]) / NAME
    make_folder(path.parent, results)
    content = {
        "schema": SCHEMA,
        "results": str(results),
        "runtime": asdict(runtime),
        "settings": settings,
        "protocols": protocols,
        "data": sources,
        "jobs": rows,
    }
    write_json(path, content)
    return path


def read_job_list(path: Path) -> JobList:
    """The list in a file; jobs still lack the folder of their data.

    Raises:
        UserError: it cannot be read, or another version of the code wrote it.
    """
    content = read_json(path)
    if content is None:
        raise UserError(f"The list of jobs {path} is not there or cannot be read; submit the study again.")
    if content.get("schema") != SCHEMA:
        raise UserError(f"The list of jobs {path} was written by another version of the code; submit the study again.")
    results, jobs, sources = Path(content["results"]), [], {}
    for row in content["jobs"]:
        run = from_json({**row, "protocol": content["protocols"][row["protocol"]]})
        if run.run_id != row["run_id"]:
            raise UserError(f"The code has changed since {path} was written: its runs are others now. Submit it again.")
        source = dict(content["data"][row["data"]])
        sources[run.protocol.data] = getattr(configs, source.pop("kind"))(**source)
        settings = dict(content["settings"][row["settings"]])
        settings["logger"] = LoggerConfig(**settings["logger"])
        settings["source"] = Path(settings["source"]) if settings.get("source") else None
        jobs.append(Job(run=run, data_folder=Path(), results=results, **settings))
    written = path.stat().st_mtime_ns
    return JobList(path, tuple(jobs), sources, RuntimeConfig(**content["runtime"]), written)


def run_ids(path: Path) -> set[str]:
    """The runs of a list, without reading what they are; none where it cannot be read."""
    return {row["run_id"] for row in (read_json(path) or {}).get("jobs", [])}


def prepared(planned: Sequence[Planned]) -> bool:
    """Whether the data of all these runs need not be built any more."""
    sources = {one.run.protocol.data: one.config.data for one in planned}
    return all(data.is_ready(config, spec) for spec, config in sources.items())


def _absolute(folder: str) -> str:
    return str(Path(folder).resolve())


def _once(values: dict[str, Any], value: dict[str, Any]) -> str:
    """Keep equal values once; returns the key."""
    key = digest(value)
    values[key] = value
    return key
