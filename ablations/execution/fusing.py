"""Which runs train as one network (model/fused.py), and how many; decided without torch, where jobs are handed out."""

from dataclasses import replace

from ablations.core.config import RuntimeConfig
from ablations.core.device import resolve_device
from ablations.core.run_spec import Run, Variant
from ablations.execution.run_jobs import Job

EVERYTHING = 1 << 30


def most_fused(runtime: RuntimeConfig) -> int:
    """How many runs may train as one.

    On a GPU all that can: a kernel on S networks' work costs little more than on one's. On the CPU none: a step of a
    fused network takes as long as its parts do, and cores are kept busy by workers. Nor where a run has several GPUs.
    """
    if runtime.processes_per_run > 1:
        return 1
    if runtime.fuse != "auto":
        return int(runtime.fuse)
    return 1 if resolve_device(runtime.device) == "cpu" else EVERYTHING


def fuse(one: Job, other: Job) -> bool:
    """Whether two jobs can train as one network: equal but for the seed, for what each is told, and for the shuffle."""
    mine, theirs = (replace(job, run=_shape(job.run), provenance={}) for job in (one, other))
    return one.run.variant.structure == "shufflenet" and mine == theirs


def _shape(run: Run) -> Run:
    """A run without its seed and its permutation, which take part in no shape."""
    variant: Variant = replace(run.variant, shuffle=True)
    return replace(run, variant=variant, seed=0)
