"""One run from start to `result.json`, in whichever process it is asked for; failures are recorded, never raised."""

import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ablations import data, provenance, store
from ablations.config import LoggerConfig
from ablations.describe import DataSpec, Run, name
from ablations.loggers import Logger, to_logger

log = logging.getLogger("ablations.run")


@dataclass(frozen=True)
class Job:
    """A run and how to execute it; plain data, so that it travels to any process."""

    run: Run
    data_folder: Path
    results: Path
    device: str
    threads: int
    deterministic: bool
    evaluate_every: int
    provenance: dict[str, Any]
    logger: LoggerConfig = field(default_factory=LoggerConfig)


def execute(job: Job) -> str:
    """Train a run and store it. Returns its state: `done`, `failed` or `diverged`; the reason is in failure.json."""
    from ablations import trainer  # torch: seconds to import, and planning does without

    run_id = job.run.run_id
    if store.result(job.results, run_id):
        return "done"
    folder = store.run_folder(job.results, run_id)
    try:
        host = provenance.describe_host(job.device, job.threads)
        store.begin(job.results, job.run, {**job.provenance, **host})
        logger = to_logger(job.logger, job.run, folder, job.provenance)
        with _logging_to(folder / "log.txt"), logger:
            _train_and_store(job, folder, logger)
        return "done"
    except trainer.Diverged as error:
        store.fail(folder, run_id, "diverged", str(error))
        return "diverged"
    except Exception as error:  # whatever it is, it is this run's alone: the sweep goes on
        store.fail(folder, run_id, "failed", f"{type(error).__name__}: {error}", traceback.format_exc())
        return "failed"


def _train_and_store(job: Job, folder: Path, logger: Logger) -> None:
    """The part of `execute` that works."""
    import torch

    from ablations import checkpoint, trainer

    began = time.perf_counter()
    run, recipe = job.run, job.run.protocol.recipe
    torch.backends.cudnn.allow_tf32 = False  # precision=float32 means it: GPUs would round convolutions to 10 bits
    if job.deterministic:
        torch.use_deterministic_algorithms(True)
    log.info("run %s: %s, on %s", run.run_id, name(run), job.device)
    _reset_peak_memory(job.device)
    splits = _splits(job.data_folder, run.protocol.data)
    per_epoch = max(1, len(splits.train_index) // recipe.batch_size)

    def observe(event: dict[str, Any]) -> None:
        if "history" in event:
            store.write_metrics(folder, event["history"])
            logger.epochs(event["history"])
            row = event["history"][-1]
            log.info(", ".join(f"{key} {value:.6g}" for key, value in row.items()))
            event = {"step": row["step"], "loss": row["train_loss"], "images_per_second": row["images_per_second"]}
        epoch = min(recipe.epochs, event["step"] // per_epoch + 1)
        total = {"epochs": recipe.epochs, "steps": recipe.epochs * per_epoch}
        store.write_progress(folder, state="running", pid=os.getpid(), epoch=epoch, **total, **event)

    path = folder / "checkpoint.pt"
    trained = trainer.train(run, splits, job.device, path, job.evaluate_every, observe)
    assert trained.last is not None
    checkpoint.save(path, {"run_id": run.run_id, "model": trained.model.state_dict()})
    total = time.perf_counter() - began
    last, row = trained.last, trained.history[-1]
    images_seen = row["step"] * min(recipe.batch_size, len(splits.train_index))
    result = {
        "run_id": run.run_id,
        "error": last.error,
        "top5_error": last.top5_error,
        "loss": last.loss,
        "test_images": len(last.correct),
        "train_loss": row["train_loss"],
        "epochs": recipe.epochs,
        "steps": row["step"],
        "images_seen": images_seen,
        "seconds": {**{key: round(value, 3) for key, value in trained.seconds.items()}, "total": round(total, 3)},
        "images_per_second": round(images_seen / max(trained.seconds["train"], 1e-9), 1),
        "peak_memory_bytes": _peak_memory(job.device),
        "weights_sha256": checkpoint.weights_digest(trained.model),
    }
    store.finish(folder, result, last.correct)
    log.info("done: error %.4f of %d images in %.1f s", last.error, len(last.correct), total)


@lru_cache(maxsize=2)
def _splits(folder: Path, spec: DataSpec) -> data.Splits:
    """A data set stays mapped between the runs of one worker."""
    return data.load(folder, spec)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send log records and warnings to a run's log.txt."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    except BaseException:
        log.exception("the run ended early")
        raise
    finally:
        log.removeHandler(handler)
        root.removeHandler(handler)
        handler.close()


def _reset_peak_memory(device: str) -> None:
    """Start counting this run's peak anew in a process that has trained others."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak is then the process's own


def _peak_memory(device: str) -> int:
    """Peak memory in bytes: of the GPU's allocator, or of this process."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
