"""What a run leaves on disk while it trains and when it ends: the part of `job_runner` that is each run's own."""

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ablations.core import provenance
from ablations.core.device import peak_memory
from ablations.core.errors import Diverged, UserError
from ablations.core.files import write_json
from ablations.core.job_state import JobState
from ablations.core.run_spec import name
from ablations.core.signals import Stopped
from ablations.execution.loggers.logger import to_logger
from ablations.store import lease, run_folder, writable

if TYPE_CHECKING:
    from ablations.execution.job import Job
    from ablations.training.checkpointing import TrainResult

log = logging.getLogger("ablations.run")


class RunRecorder:
    """A run that this process trains, by the lease that it holds until `finish`."""

    def __init__(self, job: "Job", stop: Callable[[], bool]) -> None:
        self.job, self.stop = job, stop
        self.run_id = job.run.run_id
        self.folder = run_folder.path_of(job.results, self.run_id)
        self.log = logging.LoggerAdapter(log, {"run_id": self.run_id})
        self.leased, self.opened = ExitStack(), ExitStack()
        self.origin: dict[str, Any] = {}
        self.per_epoch = 1
        self.images = 0
        self.remarks: Mapping[str, Any] = {}
        self.began = self.checked = time.monotonic()

    def __enter__(self) -> "RunRecorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close what is still open when an error ends all runs of this process."""
        with self.leased:
            self.opened.__exit__(kind, error, tb)

    def take(self) -> JobState | None:
        """Take the run. Returns why there is nothing to do: `done`, or `held` by another; None: it is to be trained."""
        if run_folder.result(self.job.results, self.run_id):
            return JobState.DONE
        writable.still_open(self.job.results)
        mine = self.leased.enter_context(lease.held(self.job.results, self.run_id))
        if not mine:
            return JobState.HELD
        if run_folder.result(self.job.results, self.run_id):
            self.leased.close()
            return JobState.DONE  # by another, between the first look and the lease
        self.lease = mine
        return None

    def open(self) -> None:
        """Lay the run's folder out, and log to it from now on."""
        job = self.job
        run_folder.quarantine(job.results, self.run_id)
        self.origin = {**job.provenance, **provenance.describe_host(job.device, job.threads)}
        if job.processes > 1:
            self.origin["processes"] = job.processes
        run_folder.begin(job.results, job.run, self.origin)
        self.opened.enter_context(_logging_to(self.folder / "log.txt", self.log, self.run_id))
        self.logger = self.opened.enter_context(to_logger(job.logger, job.run, self.folder, job.provenance))
        of = f" by {job.processes} processes" if job.processes > 1 else ""
        self.log.info("run %s: %s, on %s%s", self.run_id, name(job.run), job.device, of)

    def expect(self, images: int, remarks: Mapping[str, Any]) -> None:
        """So many images are trained on in an epoch; `remarks`: what the result says of the data."""
        self.images, self.remarks = images, remarks
        self.per_epoch = max(1, images // self.job.run.protocol.recipe.batch_size)

    def asked(self) -> bool:
        """Whether to stop. Also makes sure that nobody has taken over, before anything is written."""
        if time.monotonic() - self.checked >= lease.BEAT_SECONDS:
            self.checked = time.monotonic()
            self.lease.check()
        return self.stop()

    def observe(self, event: dict[str, Any]) -> None:
        """Write down what the trainer tells."""
        origin: dict[str, Any] = {
            key: event[key] for key in ("fused_with", "cells_at_once", "kernels", "captured") if key in event
        }
        if origin:
            if "fused_with" in event:
                origin = {"fused_with": [run_id for run_id in event["fused_with"] if run_id != self.run_id]}
                self.log.info("trains fused with %s", ", ".join(origin["fused_with"]))
            elif "captured" in event:
                self.log.warning("the training step is not captured as a CUDA graph (%s)", event["reason"])
            elif "kernels" in event:
                self.log.info("computed by %s", event["kernels"])
            else:
                self.log.info("%d cells train at once", event["cells_at_once"])
            self.origin = {**self.origin, **origin}
            write_json(self.folder / "provenance.json", self.origin)
            return
        if "history" in event:
            run_folder.write_metrics(self.folder, event["history"])
            self.logger.epochs(event["history"])
            row = event["history"][-1]
            self.log.info(", ".join(f"{key} {value:.6g}" for key, value in row.items()))
            event = {"step": row["step"], "loss": row["train_loss"], "images_per_second": row["images_per_second"]}
        epochs = self.job.run.protocol.recipe.epochs
        epoch = min(epochs, event["step"] // self.per_epoch + 1)
        total = {"epochs": epochs, "steps": epochs * self.per_epoch}
        run_folder.write_progress(self.folder, state=JobState.RUNNING, pid=os.getpid(), epoch=epoch, **total, **event)

    def finish(self, outcome: "TrainResult | Exception") -> tuple[JobState, Exception | None]:
        """Store a trained run, or record why it ended.

        Returns:
            Its state, and the exception where it is one that the caller may want to raise.

        Raises:
            OSError, Unwritable: results as a whole cannot be written.
        """
        with self.leased:
            try:
                with self.opened:
                    if isinstance(outcome, Exception):
                        raise outcome
                    result, correct = self._result(outcome)
                self.lease.check()
                run_folder.finish(self.folder, result, correct)
                return JobState.DONE, None
            except Stopped:
                run_folder.stopped(self.folder)
                return JobState.STOPPED, None
            except lease.Lost:
                return JobState.HELD, None
            except Exception as error:  # whatever it is, it is this run's alone: the sweep goes on
                return self._fail(error)

    def _fail(self, error: Exception) -> tuple[JobState, Exception | None]:
        """Record a failure with its traceback; see `finish`."""
        if isinstance(error, OSError) and error.errno in writable.UNWRITABLE:
            raise error
        reason = str(error) if isinstance(error, UserError | Diverged) else f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError) and not (self.folder / "run.json").exists():
            reason = f"The run's folder {self.folder} was removed while it was trained."
        writable.still_open(self.job.results)
        state = JobState.DIVERGED if isinstance(error, Diverged) else JobState.FAILED
        try:
            run_folder.fail(self.folder, self.run_id, state, reason, "".join(traceback.format_exception(error)))
        except OSError as failed:
            return JobState.FAILED, UserError(f"{reason} (not recorded in {self.folder}: {failed.strerror})")
        return state, error if isinstance(error, UserError) else None  # the same again would end the same

    def _result(self, trained: "TrainResult") -> tuple[dict[str, Any], np.ndarray]:
        """What goes into result.json, and each test image's right or wrong."""
        from ablations.training import checkpoint

        run = self.job.run
        assert trained.last is not None
        checkpoint.save_weights(self.folder / "checkpoint.pt", run.run_id, trained.model)
        total = time.monotonic() - self.began + trained.before
        last, row = trained.last, trained.history[-1]
        images_seen = row["step"] * min(run.protocol.recipe.batch_size, self.images)
        result = {
            "run_id": run.run_id,
            "error": last.error,
            "top5_error": last.top5_error,
            "loss": last.loss,
            "test_images": len(last.correct),
            "train_loss": row["train_loss"],
            "epochs": run.protocol.recipe.epochs,
            "steps": row["step"],
            "images_seen": images_seen,
            "seconds": {**{key: round(value, 3) for key, value in trained.seconds.items()}, "total": round(total, 3)},
            "images_per_second": round(images_seen / max(trained.seconds["train"], 1e-9), 1),
            "peak_memory_bytes": peak_memory(self.job.device),
            "weights_sha256": checkpoint.weights_digest(trained.model),
            **self.remarks,
        }
        self.log.info("done: error %.4f of %d images in %.1f s", last.error, len(last.correct), total)
        return result, last.correct


@contextmanager
def _logging_to(path: Path, mine: "logging.LoggerAdapter[logging.Logger]", run_id: str) -> Iterator[None]:
    """Send log records and warnings to a run's log.txt, but what is said of another run."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: getattr(record, "run_id", run_id) == run_id)
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
            mine.info("%s", error)
        else:
            # As text: a record with the exception itself keeps all frames alive where a handler keeps records.
            mine.error("the run ended early\n%s", traceback.format_exc().rstrip())
        raise
    finally:
        log.removeHandler(handler)
        root.removeHandler(handler)
        handler.close()
