"""Weights & Biases: one of its runs for each run; without an account on disk, in the folder wandb/ of a run."""

import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ablations.core.config import LoggerConfig
from ablations.core.run_spec import Run, name
from ablations.execution.loggers.fields import Rows, metrics, parameters

# Read when wandb is imported: no word to its makers, none on the terminal amid the live view.
os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ.setdefault("WANDB_SILENT", "true")

import wandb

START_SECONDS = 30
"""How long to wait for a server."""


class Wandb:
    """Writes configuration and metrics by epoch.

    A resumed run goes on in the same W&B run (its id is the run_id) with the epochs that this lacks: W&B never replaces
    a value. On disk, where nobody says what there is, each process writes all epochs anew, in a folder of its own;
    `wandb sync` of these, in order, gives one run.
    """

    def __init__(self, settings: LoggerConfig, run: Run, folder: Path, origin: dict[str, Any]) -> None:
        server = settings.tracking_uri or os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
        self.wandb_run = wandb.init(
            project=settings.experiment,
            id=run.run_id,
            name=name(run),
            group=run.cell_id,
            config={**parameters(run), **origin},
            dir=folder,
            resume="allow",
            reinit="create_new",  # runs that train as one have a logger each
            settings={
                **{"mode": mode(server), "base_url": server, "init_timeout": START_SECONDS, "console": "off"},
                **{"disable_git": True, "disable_code": True, "x_disable_meta": True, "x_disable_stats": True},
            },
        )
        self.next = self.wandb_run.starting_step

    def epochs(self, rows: Rows) -> None:
        """Write the epochs that the W&B run lacks."""
        for row in rows:
            if row["epoch"] >= self.next:
                self.wandb_run.log(metrics(row), step=row["epoch"], commit=True)
                self.next = row["epoch"] + 1

    def close(self, status: str) -> None:
        """Say how the run ended."""
        self.wandb_run.finish(exit_code=int(status != "FINISHED"))


def mode(server: str) -> str:
    """WANDB_MODE where it is set; else `online` with an account on the server, `offline` without: nobody is asked."""
    return os.environ.get("WANDB_MODE") or ("online" if has_account(server) else "offline")


def has_account(server: str) -> bool:
    """Whether WANDB_API_KEY is set, or `wandb login` has noted a key for the server in the user's netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(server).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
