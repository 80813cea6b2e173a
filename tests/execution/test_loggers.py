"""Loggers: what TensorBoard, MLflow and W&B hold, read back; a broken one costs its entries only."""

import csv
import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from ablations.core.config import LoggerConfig
from ablations.core.errors import UserError
from ablations.execution import job_runner
from ablations.execution.loggers import logger
from ablations.store import run_folder
from tests.execution.test_job_runner import folder
from tests.make import run
from tests.sweeps import ROOT, ablations, command, environment, finished

EPOCHS = 3


@pytest.fixture(scope="module")
def fresh_store(tmp_path_factory):
    """A sqlite store with MLflow's tables and nothing in them, made once: it takes seconds."""
    results = tmp_path_factory.mktemp("store")
    client(results).search_experiments()
    return results / "mlflow.db"


@pytest.fixture
def logged(job, request, fresh_store):
    """A job of three epochs, each evaluated, with the logger that the test asks for."""
    job.results.mkdir(exist_ok=True)
    shutil.copy(fresh_store, job.results)
    return replace(job, run=run(recipe={"epochs": EPOCHS}), logger=LoggerConfig(request.param))


def with_logger(name):
    return pytest.mark.parametrize("logged", [name], indirect=True)


def rows(one):
    """metrics.csv: by column, the values of all epochs."""
    with (folder(one) / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in table] for key in table[0]}


def scalars(one):
    """All that TensorBoard reads: tag -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder(one) / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def client(results):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{results / 'mlflow.db'}")


def mlflow_runs(results):
    found = client(results).get_experiment_by_name("shufflenet-ablations")
    return client(results).search_runs([found.experiment_id])


def history(results, mlflow_run, key):
    return [(m.step, m.value) for m in client(results).get_metric_history(mlflow_run.info.run_id, key)]


def wandb_records(file):
    """The records of a .wandb file: LevelDB's log format with a header of 7 bytes, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def wandb_runs(one):
    """Of each process that logged, in order: its run's record, [(step, {column: value})], and its exit code."""
    found = []
    for file in sorted((folder(one) / "wandb").glob("offline-run-*/*.wandb")):
        records = list(wandb_records(file))
        items = [
            {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for record in records
            if record.history.item
        ]
        history = [(item.pop("_step"), {k: v for k, v in item.items() if k[0] != "_"}) for item in items]
        (begun,) = (record.run for record in records if record.run.run_id)
        found.append((begun, history, [r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit"]))
    return found


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    """Nobody is logged in to Weights & Biases."""
    for key in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@with_logger("wandb")
def test_wandb_has_on_disk_what_metrics_csv_holds(logged, no_account):
    assert job_runner.run_job(logged) == "done" and warnings(logged) == []
    ((begun, history, exits),) = wandb_runs(logged)
    one = logged.run
    assert (begun.run_id, begun.project, begun.display_name) == (one.run_id, "shufflenet-ablations", "g1 0.25x seed 0")
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["protocol.recipe.lr"] == "0.1" and config["seed"] == "0" and config["commit"] == "abc"
    assert [step for step, _ in history] == [1, 2, 3] and exits == [0]
    for column in ("train_loss", "test_error", "test_top5_error", "lr", "images_per_second"):
        assert [(step, values[column]) for step, values in history] == expected(logged, column)


@with_logger("wandb")
def test_wandb_has_every_epoch_once_after_a_resumption(logged, no_account, monkeypatch):
    break_once(monkeypatch, "write_metrics", 2)
    assert job_runner.run_job(logged) == "failed"
    time.sleep(1.1)  # W&B names folders by the second
    assert job_runner.run_job(logged) == "done" and warnings(logged) == []
    (first, begun, [failed]), (again, whole, [ended]) = wandb_runs(logged)
    assert first.run_id == again.run_id and (failed, ended) == (1, 0)
    assert [step for step, _ in begun] == [1] and [step for step, _ in whole] == [1, 2, 3]


def test_wandb_is_online_only_with_an_account_on_the_server(no_account, monkeypatch, tmp_path):
    from ablations.execution.loggers.wandb import mode

    assert mode("https://api.wandb.ai") == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    assert mode("https://api.wandb.ai") == "online" and mode("https://wandb.example") == "offline"
    (tmp_path / "netrc").write_text("no netrc\n")
    assert mode("https://api.wandb.ai") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert mode("https://api.wandb.ai") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode("https://api.wandb.ai") == "disabled"


@with_logger("wandb")
def test_a_wandb_server_that_does_not_answer_is_given_up(logged, no_account, silent_server, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(logger, "ANSWER_SECONDS", 2)
    logged = replace(logged, logger=LoggerConfig("wandb", silent_server))
    assert job_runner.run_job(logged) == "done"
    (line,) = warnings(logged)
    assert "wandb logs nothing more of this run: " in line


def expected(one, column):
    return list(enumerate(rows(one)[column], start=1))


@with_logger("tensorboard")
def test_tensorboard_shows_what_metrics_csv_holds(logged):
    assert job_runner.run_job(logged) == "done"
    found = scalars(logged)
    assert set(found) == {
        *("train/loss", "train/error", "test/loss", "test/error", "test/top5_error"),
        *("lr", "seconds", "images_per_second"),
    }
    for tag, column in (("train/loss", "train_loss"), ("test/error", "test_error"), ("lr", "lr")):
        assert found[tag] == [(step, pytest.approx(value)) for step, value in expected(logged, column)]


@with_logger("mlflow")
def test_mlflow_holds_parameters_tags_and_metrics(logged):
    assert job_runner.run_job(logged) == "done"
    (found,) = mlflow_runs(logged.results)
    one = logged.run
    assert found.info.status == "FINISHED" and found.info.run_name == "g1 0.25x seed 0"
    assert found.data.tags["run_id"] == one.run_id and found.data.tags["cell_id"] == one.cell_id
    assert found.data.tags["commit"] == "abc" and found.data.tags["preset"] == "none"
    assert found.data.params["variant.width"] == "0.25" and found.data.params["protocol.recipe.lr"] == "0.1"
    assert found.data.params["protocol.data.name"] == "random" and found.data.params["seed"] == "0"
    for column in ("train_loss", "test_error", "test_top5_error", "lr", "images_per_second"):
        assert history(logged.results, found, column) == expected(logged, column)


def break_once(monkeypatch, name, call):
    """Let one of the store's functions raise, once, at its so-manieth call."""
    real, calls = getattr(run_folder, name), []

    def broken(*arguments, **settings):
        calls.append(1)
        if len(calls) == call:
            raise RuntimeError("the machine went away")
        return real(*arguments, **settings)

    monkeypatch.setattr(run_folder, name, broken)


# What breaks in the second epoch: before the logger was told of it, although the checkpoint has it; or after.
BREAKS = [("write_metrics", 2), ("write_progress", 2)]


@with_logger("tensorboard")
@pytest.mark.parametrize("name,call", BREAKS)
def test_tensorboard_has_every_epoch_once_after_a_resumption(logged, monkeypatch, name, call):
    break_once(monkeypatch, name, call)
    assert job_runner.run_job(logged) == "failed"
    assert [step for step, _ in scalars(logged)["train/loss"]] == [1, 2][: 1 if name == "write_metrics" else 2]
    assert job_runner.run_job(logged) == "done"
    assert len(list((folder(logged) / "tensorboard").iterdir())) == 2
    found = scalars(logged)["train/loss"]
    assert found == [(step, pytest.approx(value)) for step, value in expected(logged, "train_loss")]


@with_logger("mlflow")
@pytest.mark.parametrize("name,call", BREAKS)
def test_mlflow_goes_on_with_its_run_after_a_resumption(logged, monkeypatch, name, call):
    break_once(monkeypatch, name, call)
    assert job_runner.run_job(logged) == "failed"
    (first,) = mlflow_runs(logged.results)
    assert first.info.status == "FAILED"
    assert job_runner.run_job(logged) == "done"
    (found,) = mlflow_runs(logged.results)
    assert found.info.run_id == first.info.run_id and found.info.status == "FINISHED"
    for column in ("train_loss", "test_error", "seconds"):
        assert history(logged.results, found, column) == expected(logged, column)


@with_logger("mlflow")
def test_a_run_trained_anew_to_other_numbers_gets_a_new_mlflow_run(logged):
    from ablations.execution.loggers.mlflow import Mlflow

    def tell(losses):
        backend = Mlflow(logged.logger, logged.run, folder(logged), {})
        for k in range(1, len(losses) + 1):
            backend.epochs([{"epoch": e, "train_loss": loss} for e, loss in enumerate(losses[:k], start=1)])
        backend.close("FINISHED")
        return mlflow_runs(logged.results)

    (first,) = tell([0.5, 0.25])
    (same,) = tell([0.5, 0.25, 0.125])
    assert same.info.run_id == first.info.run_id
    (anew,) = tell([0.5, 0.375, 0.25])
    assert anew.info.run_id != first.info.run_id
    assert history(logged.results, anew, "train_loss") == [(1, 0.5), (2, 0.375), (3, 0.25)]


@with_logger("mlflow")
def test_an_experiment_that_another_worker_made_meanwhile_is_used(logged, monkeypatch):
    """A server's store has no lock of ours: between looking for the experiment and making it, another may make it."""
    from ablations.execution.loggers.mlflow import MlflowClient

    real, calls = MlflowClient.get_experiment_by_name, []

    def late(self, wanted):
        calls.append(wanted)
        if len(calls) > 1:
            return real(self, wanted)
        self.create_experiment(wanted)
        return None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    assert job_runner.run_job(logged) == "done"
    assert warnings(logged) == [] and len(mlflow_runs(logged.results)) == 1


def warnings(one):
    text = (folder(one) / "log.txt").read_text()
    return [line for line in text.splitlines() if "logs nothing more of this run" in line]


@with_logger("tensorboard")
def test_event_files_that_cannot_be_written_are_a_warning(logged):
    folder(logged).mkdir(parents=True)
    (folder(logged) / "tensorboard").write_text("a file where the folder should be")
    assert job_runner.run_job(logged) == "done"
    (line,) = warnings(logged)
    assert "WARNING tensorboard logs nothing more of this run: FileExistsError" in line


@with_logger("mlflow")
def test_a_store_that_cannot_be_opened_is_a_warning(logged):
    logged = replace(logged, logger=LoggerConfig("mlflow", "sqlite:////dev/null/mlflow.db"))
    assert job_runner.run_job(logged) == "done"
    assert len(warnings(logged)) == 1


@with_logger("mlflow")
def test_a_store_that_breaks_in_mid_run_is_one_warning(logged, monkeypatch):
    from ablations.execution.loggers.mlflow import MlflowClient

    real, calls = MlflowClient.log_batch, []

    def broken(self, *arguments, **settings):
        calls.append(1)
        if len(calls) >= 3:  # parameters, first epoch, then this
            raise OSError("No space left on device")
        return real(self, *arguments, **settings)

    monkeypatch.setattr(MlflowClient, "log_batch", broken)
    assert job_runner.run_job(logged) == "done"
    (line,) = warnings(logged)
    assert "OSError: No space left on device" in line and len(calls) == 3
    (found,) = mlflow_runs(logged.results)
    assert [step for step, _ in history(logged.results, found, "train_loss")] == [1]


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@with_logger("mlflow")
def test_a_server_that_does_not_answer_is_given_up(logged, silent_server, monkeypatch):
    monkeypatch.setattr(logger, "ANSWER_SECONDS", 0.5)
    logged = replace(logged, logger=LoggerConfig("mlflow", silent_server))
    assert job_runner.run_job(logged) == "done"
    (line,) = warnings(logged)
    assert "TimeoutError: no answer within 0.5 s" in line


@with_logger("tensorboard")
def test_a_logger_that_hangs_in_mid_run_is_given_up(logged, monkeypatch):
    from ablations.execution.loggers.tensorboard import TensorBoard

    monkeypatch.setattr(logger, "ANSWER_SECONDS", 0.5)
    waits = threading.Event()
    monkeypatch.setattr(TensorBoard, "epochs", lambda self, rows: waits.wait())
    try:
        assert job_runner.run_job(logged) == "done"
    finally:
        waits.set()
    assert len(warnings(logged)) == 1


@pytest.mark.parametrize("name", ["a%20b", "50% off", "what?now=x", "a#b&c;d", "é ü"])
def test_a_folder_of_any_name_holds_its_own_store(tmp_path, name, fresh_store):
    from ablations.execution.loggers.mlflow import Mlflow, sqlite_uri

    results = tmp_path / name
    results.mkdir()
    shutil.copy(fresh_store, results)
    backend = Mlflow(LoggerConfig("mlflow"), run(), results / "runs" / "one", {})
    backend.epochs([{"epoch": 1, "train_loss": 0.5}])
    backend.close("FINISHED")
    assert list(tmp_path.iterdir()) == [results], "nothing is written beside it"
    from mlflow.tracking import MlflowClient

    (found,) = MlflowClient(sqlite_uri(results / "mlflow.db")).search_runs([backend.experiment])
    assert found.data.metrics["train_loss"] == 0.5
    with sqlite3.connect(results / "mlflow.db") as store:
        assert store.execute("select value from metrics").fetchall() == [(0.5,)]


def test_without_a_logger_nothing_is_imported(tmp_path):
    code = (
        "import sys; from pathlib import Path; from ablations.execution import job_runner;"
        "from ablations.execution.loggers import logger as loggers;"
        "from ablations.core.config import LoggerConfig; from tests.make import run;"
        "logger = loggers.to_logger(LoggerConfig(), run(), Path('x'), {});\n"
        "with logger: logger.epochs([{'epoch': 1, 'train_loss': 1.0}])\n"
        "loggers.check_logger(LoggerConfig('mlflow')); loggers.check_logger(LoggerConfig('tensorboard'));"
        "loggers.check_logger(LoggerConfig('wandb'));"
        "sys.exit(bool({'mlflow', 'tensorboard', 'torch', 'wandb'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True)


def test_an_unknown_logger_and_a_missing_package_are_mistakes(monkeypatch):
    with pytest.raises(
        UserError, match=r"logger\.name=neptune is not a logger: choose one of none, tensorboard, mlflow, wa"
    ):
        logger.check_logger(LoggerConfig("neptune"))
    logger.check_logger(LoggerConfig("mlflow"))
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'shufflenet-ablations\[tensorboard\]'"):
        logger.check_logger(LoggerConfig("tensorboard"))


def test_a_missing_package_ends_a_sweep_before_any_training(tmp_path):
    start = "import sys; sys.modules['mlflow'] = None; from ablations.__main__ import main; main()"
    arguments = command(tmp_path / "results", "-m", "logger=mlflow")[3:]
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: logger=mlflow needs a package"), done.stderr
    assert "shufflenet-ablations[mlflow]" in done.stderr and "Traceback" not in done.stderr
    assert not list((tmp_path / "results").glob("runs/*"))


WRITER = """
import socket, sys, time
from pathlib import Path
def refuse(self, address): raise AssertionError(f"a connection to {address}")
socket.socket.connect = socket.socket.connect_ex = refuse
from ablations.core.config import LoggerConfig
from ablations.execution.loggers.mlflow import Mlflow
from mlflow.telemetry import get_telemetry_client
from tests.make import run
assert get_telemetry_client() is None
results, seed = Path(sys.argv[1]), int(sys.argv[2])
(results / f"ready-{seed}").touch()
while len(list(results.glob("ready-*"))) < 4: time.sleep(0.005)
backend = Mlflow(LoggerConfig("mlflow"), run(seed=seed), results / "runs" / "one", {})
rows = []
for epoch in range(1, 31):
    rows.append({"epoch": epoch, "train_loss": seed + epoch / 100, "test_error": 0.5})
    backend.epochs(rows)
backend.close("FINISHED")
"""


def test_workers_that_begin_at_once_share_one_fresh_store(tmp_path):
    """Four processes make the store, the experiment and their runs at the same moment; none connects to anything."""
    # Few variables: MLflow's telemetry is silent where pytest or a CI service has set theirs, here it must be by us.
    plain = {key: environment()[key] for key in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS")}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(seed)],
            cwd=ROOT,
            env={**plain, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    found = mlflow_runs(tmp_path)
    assert sorted(one.data.params["seed"] for one in found) == ["0", "1", "2", "3"]
    for one in found:
        seed = int(one.data.params["seed"])
        assert history(tmp_path, one, "train_loss") == [(e, seed + e / 100) for e in range(1, 31)]


def test_a_sweep_logs_from_two_workers_and_run_ids_do_not_depend_on_it(tmp_path):
    results = tmp_path / "results"
    grid = ("-m", "model.groups=1,8", "runtime.workers=2")
    done = ablations(results, *grid, "logger=mlflow", "logger.experiment=mine")
    assert done.returncode == 0 and "2 of 2 runs done" in done.stdout, done.stdout + done.stderr
    assert "INFO mlflow" not in done.stderr
    experiment = client(results).get_experiment_by_name("mine")
    assert experiment.artifact_location == str(results / "mlflow-artifacts") and not (tmp_path / "mlruns").exists()
    logged_ids = {one.data.tags["run_id"] for one in client(results).search_runs([experiment.experiment_id])}
    assert logged_ids == set(finished(results))
    assert "2 done, 0 to train" in ablations(results, *grid).stdout
    assert "2 done, 0 to train" in ablations(results, *grid, "logger=tensorboard").stdout
    one = json.loads(next(results.glob("runs/*/run.json")).read_text())
    assert "logger" not in one
