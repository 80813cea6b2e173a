"""`python -m ablations`: plain Hydra; one run, or with -m a sweep."""

import os
import sys

import hydra
from omegaconf import DictConfig

from ablations import report, store
from ablations.app import register
from ablations.errors import UserError
from ablations.execute import execute
from ablations.launch import to_job
from ablations.plan import Planned
from ablations.resolve import to_config, to_run


@hydra.main(config_path="../conf", config_name="config", version_base="1.3")
def run_one(composed: DictConfig) -> str:
    """Train the one run that a configuration describes, in this process; also what other launchers call."""
    config = to_config(composed)
    job = to_job(Planned(to_run(config), config, ()))
    store.open_results(job.results)
    state = execute(job)
    if state != "done":
        record = store.failure(job.results, job.run.run_id) or {}
        raise UserError(f"Run {job.run.run_id} {state}: {record.get('error', '')}")
    found = store.result(job.results, job.run.run_id) or {}
    report.console().print(f"Run {job.run.run_id} done: error {100 * found['error']:.2f} %")
    return state


def main() -> None:
    """Entry point; a mistake of the user's is one sentence on standard error and exit code 2."""
    # Hydra prints a job's exception shortened and exits; ours are sentences, so they pass through.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    register()
    try:
        run_one()
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
