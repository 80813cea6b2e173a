"""Loggers: what the trainer tells of its epochs, as TensorBoard, MLflow or Weights & Biases shows it. Off by default.

The libraries are imported only in the process that trains, and only when asked for. A logger that breaks or does not
answer costs its own entries, never the training.
"""

import importlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from ablations.core.config import LoggerConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import Run
from ablations.execution.loggers.fields import Rows

ANSWER_SECONDS = 45.0
"""How long a logger may take for what it is told; longer than it waits for other processes that write to one file."""

BACKENDS = {"tensorboard": "TensorBoard", "mlflow": "Mlflow", "wandb": "Wandb"}
"""By name, which is that of the library and of the module here: its class, of (settings, run, its folder, origin)."""

LOGGERS = ("none", *BACKENDS)

T = TypeVar("T")

log = logging.getLogger("ablations.run")


class Backend(Protocol):
    """What a logging library is asked to do."""

    def epochs(self, rows: Rows) -> None:
        """Write what of these epochs is not written yet; after a resumption, earlier ones are among them."""

    def close(self, status: str) -> None:
        """The run ended: `FINISHED`, or `FAILED` when it raised an error."""


def check_logger(settings: LoggerConfig) -> None:
    """See that the logger asked for can be used; imports nothing.

    Raises:
        UserError: it is unknown, or its library is not installed.
    """
    if settings.name not in LOGGERS:
        raise UserError(f"logger.name={settings.name} is not a logger: choose one of {', '.join(LOGGERS)}.")
    if settings.name != "none" and importlib.util.find_spec(settings.name) is None:
        raise UserError(
            f"logger={settings.name} needs a package that is not installed: "
            f"pip install 'shufflenet-ablations[{settings.name}]' (in a checkout: pip install '.[{settings.name}]')."
        )


def to_logger(settings: LoggerConfig, run: Run, folder: Path, origin: dict[str, Any]) -> "Logger":
    """The logger of a run; nothing is opened before it is entered.

    Args:
        folder: the run's.
        origin: where the run comes from, as in provenance.json; loggers are given commit, dirty and preset of it.
    """
    known = {key: origin[key] for key in ("commit", "dirty", "preset") if origin.get(key) is not None}

    def load() -> Callable[[], Backend]:
        module = importlib.import_module(f"ablations.execution.loggers.{settings.name}")
        return partial(getattr(module, BACKENDS[settings.name]), settings, run, folder, known)

    return Logger(settings.name, None if settings.name == "none" else load)


class Logger:
    """Guards the training from its logger: the first error is a warning in log.txt, and the last thing it does.

    No answer within `ANSWER_SECONDS` is an error too: a thread waits for it, and is left alone then.
    """

    def __init__(self, name: str, load: Callable[[], Callable[[], Backend]] | None) -> None:
        """`load` imports the library, which may take longer than an answer, and returns what opens the backend."""
        self.name, self.load = name, load
        self.backend: Backend | None = None

    def __enter__(self) -> "Logger":
        if self.load:
            self._guard(self._open)
        return self

    def epochs(self, rows: Rows) -> None:
        """Tell of all epochs so far."""
        if self.backend:
            self._guard(answer, self.backend.epochs, rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.backend:
            self._guard(answer, self.backend.close, "FAILED" if error else "FINISHED")

    def _open(self) -> None:
        assert self.load
        self.backend = answer(self.load())

    def _guard(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # whatever it is, the run is worth more than its log
            self.backend = None
            reason = str(error).partition("\n")[0]
            log.warning("%s logs nothing more of this run: %s: %s", self.name, type(error).__name__, reason)


def answer(action: Callable[..., T], *arguments: Any) -> T:
    """What an action returns.

    Raises:
        TimeoutError: nothing within `ANSWER_SECONDS`.
        Exception: what the action raised.
    """
    future: Future[T] = Future()

    def act() -> None:
        try:
            future.set_result(action(*arguments))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=act, daemon=True).start()
    try:
        return future.result(ANSWER_SECONDS)
    except TimeoutError as error:
        if future.done():
            raise
        raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s") from error
