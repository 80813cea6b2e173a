"""`python -m ablations`: plain Hydra; one run, or with -m a sweep."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablations.core import console, signals
from ablations.core.errors import UserError
from ablations.core.paths import CONF
from ablations.core.processes import tune
from ablations.execution.job_runner import run_job
from ablations.execution.worker import chosen_gpus
from ablations.store import run_folder, writable
from ablations.sweep import messages
from ablations.sweep.plan import Planned, prepare, to_job
from ablations.sweep.plugins import register
from ablations.sweep.resolve import to_config, to_run, typed
from ablations.verification import fingerprint

FULL_ERROR = "HYDRA_FULL_ERROR"
"""Set to 1 by users who want to see tracebacks."""


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def run_one(composed: DictConfig) -> str:
    """Train the one run that a configuration describes, in this process; also what Hydra's other launchers call."""
    single = HydraConfig.get().mode != RunMode.MULTIRUN
    try:
        config = to_config(typed(composed))
        planned = Planned(to_run(config), config, ())
        gpus = tuple(chosen_gpus(config.runtime)[: config.runtime.processes_per_run])
        job = replace(to_job(planned, prepare(planned)), gpus=gpus)
        writable.open_results(job.results)
        if single and run_folder.result(job.results, job.run.run_id) is None:  # in a sweep, the sweeper has done this
            with writable.writing(job.results):
                fingerprint.verify([job.run], job.results)
    except UserError as error:
        console.show_error(error)
        raise SystemExit(2) from None
    tune(config.runtime.threads)
    with signals.defer_signals() as stop:
        try:
            state = run_job(job, stop.requested)
        except UserError as error:
            console.show_error(error)
            state = "failed"
    messages.show_run(job, state)
    if not single:
        stop.leave()
    elif stop.signum is not None:
        console.show_stopped()
        raise SystemExit(128 + stop.signum)
    elif state != "done":
        raise SystemExit(1)
    return state


def main() -> None:
    """Entry point of `python -m ablations` and of the script `ablations`."""
    whole = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # Hydra then hands errors on; else it would show some of them as tracebacks
    with signals.immediate():
        try:
            register()
            run_one()
        except signals.Interrupted as request:
            console.show_stopped()
            raise SystemExit(request.exit_code) from None
        except BrokenPipeError:
            raise  # core/command.py knows what to do
        except Exception as error:
            if whole == "1":
                raise
            console.show_error(UserError(error_in_words(error)))
            print(f"(To see where in the program, set {FULL_ERROR}=1.)", file=sys.stderr)
            raise SystemExit(2) from None
        finally:
            os.environ.pop(FULL_ERROR) if whole is None else os.environ.update({FULL_ERROR: whole})


def error_in_words(error: Exception) -> str:
    """What Hydra and OmegaConf say, who list what there is to choose from; of any other error its kind and message."""
    causes = [cause for cause in (error, error.__cause__) if cause]
    lines = dict.fromkeys(line for cause in causes for line in str(cause).splitlines() if line.strip())
    if isinstance(error, HydraException | OmegaConfBaseException):
        return "\n".join(lines)
    return f"{type(error).__name__}: {' '.join(lines)}"


def compose(overrides: Sequence[str]) -> list[Planned]:
    """All jobs of a sweep, as Hydra would make them, whether their data are there or not."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from ablations.sweep.compose import Composer
    from ablations.sweep.plugins import register
    from ablations.sweep.sweeper import AblationSweeper

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
        composer = Composer(loader, master, need_files=False)
        return [composer.compose(job) for job in composer.expand(list(overrides), AblationSweeper.split_arguments)]
