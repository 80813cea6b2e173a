"""MLflow: one MLflow run for each run, in a local sqlite store or on a server."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from ablations.core.config import LoggerConfig
from ablations.core.run_spec import Run, name
from ablations.execution.loggers.fields import Rows, metrics, parameters

# Read when MLflow is imported: no word to its makers, no links amid the live view, and a server that is away must not
# hold the training up for long.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import URL, make_url

LOCK_SECONDS = 30
"""How long to wait for other processes that write to the same sqlite file."""


class Mlflow:
    """Writes parameters, tags and metrics by epoch.

    MLflow never replaces a value: the same step logged twice stands there twice. So epochs that the MLflow run already
    has, from before a resumption, are left out; and if they have other values (the run was trained anew, to other
    numbers), that MLflow run is deleted (it stays in MLflow's bin) and a new one takes its place.
    """

    def __init__(self, settings: LoggerConfig, run: Run, folder: Path, origin: dict[str, Any]) -> None:
        results = folder.parent.parent
        uri = settings.tracking_uri or sqlite_uri(results.resolve() / "mlflow.db")
        self.run, self.origin = run, origin
        file = make_url(uri).database if uri.startswith("sqlite:///") else None
        # Several workers write to one sqlite file; MLflow itself locks only the making of its tables, by host.
        self.lock: Any = FileLock(f"{file}.lock", timeout=LOCK_SECONDS) if file else nullcontext()
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells each step of making its tables
        with self.lock, _no_folder_left(Path(uri.removeprefix("sqlite:///")).parent if file else Path()):
            self.client = MlflowClient(uri)
            self.experiment = self._experiment(settings.experiment, results if file else None)
            self.mlflow_run = self._describe(self._find() or self._create())
            self.client.update_run(self.mlflow_run, status="RUNNING")
            history = self.client.get_metric_history(self.mlflow_run, "train_loss")
        self.known = {metric.step: metric.value for metric in history}

    def epochs(self, rows: Rows) -> None:
        """Write the epochs that the MLflow run lacks."""
        with self.lock:
            if any(self.known.get(row["epoch"], row["train_loss"]) != row["train_loss"] for row in rows):
                self.client.delete_run(self.mlflow_run)
                self.mlflow_run, self.known = self._describe(self._create()), {}
            for row in rows:
                if row["epoch"] not in self.known:
                    now = int(1000 * time.time())
                    batch = [Metric(key, value, now, row["epoch"]) for key, value in metrics(row).items()]
                    self.client.log_batch(self.mlflow_run, metrics=batch)
                    self.known[row["epoch"]] = row["train_loss"]

    def close(self, status: str) -> None:
        """Say how the run ended."""
        with self.lock:
            self.client.set_terminated(self.mlflow_run, status)

    def _experiment(self, wanted: str, results: Path | None) -> str:
        """The id of the experiment, made when absent; on this machine its artifacts would lie beside the store."""
        place = str(results.resolve() / "mlflow-artifacts") if results else None
        found = self.client.get_experiment_by_name(wanted)
        if found is None:
            try:
                return str(self.client.create_experiment(wanted, artifact_location=place))
            except MlflowException:  # on a server, another worker may have been faster
                found = self.client.get_experiment_by_name(wanted)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _find(self) -> str | None:
        """The MLflow run with our run_id, if there is one."""
        found = self.client.search_runs([self.experiment], f"tags.run_id = '{self.run.run_id}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self) -> str:
        """A new MLflow run."""
        tags = {"run_id": self.run.run_id, "cell_id": self.run.cell_id, "protocol_id": self.run.protocol_id}
        tags |= {key: str(value) for key, value in self.origin.items()}
        return str(self.client.create_run(self.experiment, run_name=name(self.run), tags=tags).info.run_id)

    def _describe(self, mlflow_run: str) -> str:
        """Write the parameters; the same again changes nothing, and completes a run whose beginning was cut short."""
        params = [Param(key, value) for key, value in parameters(self.run).items()]
        self.client.log_batch(mlflow_run, params=params)
        return mlflow_run


def sqlite_uri(file: Path) -> str:
    """The address of a sqlite store; characters that an address gives a meaning, such as % and ?, are quoted."""
    return URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


@contextmanager
def _no_folder_left(quoted: Path) -> Iterator[None]:
    """Delete the folder that MLflow makes for a sqlite file, where it takes the quoted name for the folder's own."""
    made = [folder for folder in (quoted, *quoted.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty: it is the folder of the store
                folder.rmdir()
