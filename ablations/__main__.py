"""`python -m ablations`: plain Hydra; one run, or with -m a sweep."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ablations import fingerprint, report, store
from ablations.app import register
from ablations.errors import UserError
from ablations.execute import execute
from ablations.launch import prepare, to_job
from ablations.plan import Planned
from ablations.resolve import to_config, to_run, typed

CONF = Path(__file__).resolve().parent.parent / "conf"


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def run_one(composed: DictConfig) -> str:
    """Train the one run that a configuration describes, in this process; also what Hydra's other launchers call."""
    single = HydraConfig.get().mode != RunMode.MULTIRUN
    try:
        config = to_config(typed(composed))
        planned = Planned(to_run(config), config, ())
        job = to_job(planned, prepare(planned))
        store.open_results(job.results)
        if single and store.result(job.results, job.run.run_id) is None:  # in a sweep, the sweeper has done this
            fingerprint.verify([job.run], job.results)
    except UserError as error:
        report.show_error(error)
        raise SystemExit(2) from None
    state = execute(job)
    report.show_run(job, state)
    if single and state != "done":
        raise SystemExit(1)
    return state


def main() -> None:
    """Entry point of `python -m ablations` and of the script `ablations`."""
    register()
    run_one()


if __name__ == "__main__":
    main()
