"""Families of a user's own in a sweep: their source is kept, and each network gets its identity by behaviour."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablations.core.run_spec import Run
from ablations.store import writable
from ablations.store.sources import keep_source
from ablations.sweep.plan import Planned
from ablations.verification.behaviour import behaviours
from ablations.verification.fingerprint import code_digest
from model.family import BUILT_IN


def identified(jobs: Sequence[Planned], folders: Sequence[Path]) -> list[Planned]:
    """The jobs; those of a user's families with the kept copy of their source, and with their behaviour.

    Raises:
        UserError: a network cannot be built or identified, or the results cannot be written.
    """
    own = [job for job in jobs if job.run.variant.structure not in BUILT_IN]
    if not own:
        return list(jobs)
    results = writable.open_results(Path(own[0].config.runtime.results_dir))
    kept = {folder.name: keep_source(folder, results) for folder in folders}
    found: dict[int, Planned] = {}
    for name in dict.fromkeys(map(_folder, own)):
        source = kept[name]
        mine = [job for job in own if _folder(job) == name]
        bare = list({_unnamed(job.run): None for job in mine if not job.run.variant.behaviour})
        named = dict(zip(bare, behaviours(bare, source, code_digest()) if bare else (), strict=True))
        for job in mine:
            behaviour = job.run.variant.behaviour or named[_unnamed(job.run)]
            variant = replace(job.run.variant, behaviour=behaviour)
            found[id(job)] = replace(job, run=replace(job.run, variant=variant), source=source)
    return [found.get(id(job), job) for job in jobs]


def _folder(job: Planned) -> str:
    return job.run.variant.structure.partition(".")[0]


def _unnamed(run: Run) -> Run:
    """A run without its seed, which does not change what its network is."""
    return replace(run, seed=0)
