"""One run from start to `result.json`, in whichever process it is asked for; failures are recorded, not raised."""

import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ablations import data, lease, provenance, store, writable
from ablations.config import LoggerConfig
from ablations.describe import DataSpec, Run, name
from ablations.errors import UserError
from ablations.loggers import Logger, to_logger
from ablations.stopping import Stopped

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
    checkpoint_every: float = 60.0


def execute(job: Job, stop: Callable[[], bool] = lambda: False) -> str:
    """Train a run and store it, unless it is done or another process trains it.

    Args:
        stop: asked after each step; True: save the run and leave.

    Returns:
        Its state: `done`, `failed`, `diverged` (the reason is in failure.json), `stopped`, or `held` by another.

    Raises:
        UserError: nothing can be trained here: results that cannot be written, or that a newer version wrote.
    """
    run_id = job.run.run_id
    if store.result(job.results, run_id):
        return "done"
    try:
        writable.still_open(job.results)
        with lease.held(job.results, run_id) as mine:
            return _execute(job, stop, mine) if mine else "held"
    except lease.Lost:
        return "held"
    except OSError as error:
        raise writable.unwritable(job.results, error) from None


def _execute(job: Job, stop: Callable[[], bool], mine: lease.Lease) -> str:
    """`execute`, by the holder of the run's lease."""
    from ablations import trainer  # torch: seconds to import, and planning does without

    run_id, folder = job.run.run_id, store.run_folder(job.results, job.run.run_id)
    if store.result(job.results, run_id):
        return "done"  # by another, between the first look and the lease
    store.set_aside(job.results, run_id)
    checked = time.monotonic()

    def asked() -> bool:
        """Also make sure that nobody has taken over, before anything is written."""
        nonlocal checked
        if time.monotonic() - checked >= lease.BEAT_SECONDS:
            checked = time.monotonic()
            mine.check()
        return stop()

    try:
        host = provenance.describe_host(job.device, job.threads)
        store.begin(job.results, job.run, {**job.provenance, **host})
        logger = to_logger(job.logger, job.run, folder, job.provenance)
        with _logging_to(folder / "log.txt"), logger:
            result, correct = _train(job, folder, logger, asked)
        mine.check()
        store.finish(folder, result, correct)
        return "done"
    except Stopped:
        store.stopped(folder)
        return "stopped"
    except lease.Lost:
        raise
    except UserError as error:  # the same again would end the same
        _record(job, "failed", str(error))
        raise
    except trainer.Diverged as error:
        return _record(job, "diverged", str(error))
    except Exception as error:  # whatever it is, it is this run's alone: the sweep goes on
        if isinstance(error, OSError) and error.errno in writable.UNWRITABLE:
            raise
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError) and not folder.is_dir():
            reason = f"The run's folder {folder} was removed while it was trained."
        return _record(job, "failed", reason)


def _record(job: Job, status: str, reason: str) -> str:
    """Record a failure with its traceback.

    Raises:
        UserError: it cannot be recorded; results as a whole cannot be written, or this run's folder.
    """
    writable.still_open(job.results)
    folder = store.run_folder(job.results, job.run.run_id)
    try:
        store.fail(folder, job.run.run_id, status, reason, traceback.format_exc())
    except OSError as error:
        raise UserError(f"{reason} (not recorded in {folder}: {error.strerror})") from None
    return status


def _train(job: Job, folder: Path, logger: Logger, stop: Callable[[], bool]) -> tuple[dict[str, Any], np.ndarray]:
    """The part of `execute` that works: what goes into result.json, and each test image's right or wrong."""
    import torch

    from ablations import checkpoint, trainer

    began = time.perf_counter()
    run, recipe = job.run, job.run.protocol.recipe
    torch.backends.cudnn.allow_tf32 = False  # precision=float32 means it: GPUs would round convolutions to 10 bits
    if job.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
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
    trained = trainer.train(run, splits, job.device, path, job.evaluate_every, observe, job.checkpoint_every, stop)
    assert trained.last is not None
    checkpoint.save_weights(path, run.run_id, trained.model)
    total = time.perf_counter() - began + trained.before
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
    log.info("done: error %.4f of %d images in %.1f s", last.error, len(last.correct), total)
    return result, last.correct


@lru_cache(maxsize=2)
def _splits(folder: Path, spec: DataSpec) -> data.Splits:
    """A data set stays mapped between the runs of one worker."""
    return data.load(folder, spec)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send log records and warnings to a run's log.txt."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is told of once, elsewhere
    root = logging.getLogger()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    except BaseException as error:
        if isinstance(error, Stopped):
            log.info("%s", error)
        else:
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
