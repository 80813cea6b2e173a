"""`python -m ablations`: one run, or with -m a sweep; and what Hydra needs to know of us."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal.core_plugins import structured_config_source as stored
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.plugin import Plugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablations.core import config as schema
from ablations.core import console, provenance, signals
from ablations.core.errors import UserError
from ablations.core.job_state import JobState
from ablations.core.paths import CONF
from ablations.core.processes import tune
from ablations.execution.job_runner import run_job
from ablations.execution.worker import chosen_gpus
from ablations.monitor.live import alongside
from ablations.store import run_folder, writable
from ablations.store.sources import keep_difference
from ablations.sweep import completion, messages
from ablations.sweep.compose import Composer
from ablations.sweep.local_launcher import WorkersLauncher, WorkersLauncherConf
from ablations.sweep.own_code import identified
from ablations.sweep.plan import Planned, prepare, to_job
from ablations.sweep.resolve import to_config, to_run, typed
from ablations.sweep.slurm.launcher import SlurmLauncher
from ablations.sweep.slurm.settings import SlurmLauncherConf
from ablations.sweep.study import user_folders
from ablations.sweep.sweeper import AblationSweeper, AblationSweeperConf
from ablations.sweep.whole_sweep import check_used
from ablations.verification import fingerprint

NAMESPACE = "hydra_plugins.ablations"

FULL_ERROR = "HYDRA_FULL_ERROR"
"""Set to 1 by users who want to see tracebacks."""


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def run_one(composed: DictConfig) -> str:
    """Train the one run that a configuration describes, in this process; also what Hydra's other launchers call."""
    asked, loader = HydraConfig.get(), GlobalHydra.instance().config_loader()
    single = asked.mode != RunMode.MULTIRUN
    try:
        config = to_config(typed(composed))
        if single:
            given = [*asked.overrides.task, *asked.overrides.hydra]
            check_used([config], given, loader, str(asked.job.config_name), single=True)
        folders = user_folders(loader)
        (planned,) = identified([Planned(to_run(config, folders=folders), config, ())], folders)
        gpus = tuple(chosen_gpus(config.runtime)[: config.runtime.processes_per_run])
        job = replace(to_job(planned, prepare(planned)), gpus=gpus)
        writable.open_results(job.results)
        if single and run_folder.result(job.results, job.run.run_id) is None:  # in a sweep, the sweeper has done this
            with writable.writing(job.results):
                keep_difference(provenance.difference(), job.results)
                fingerprint.verify([job.run], job.results, folders=job.folders)
    except UserError as error:
        console.show_error(error)
        raise SystemExit(2) from None
    tune(config.runtime.threads)
    with signals.defer_signals() as stop:
        try:
            with alongside(job, config.runtime.progress) if single else nullcontext():
                state = run_job(job, stop.requested)
        except UserError as error:
            console.show_error(error)
            state = JobState.FAILED
    messages.show_run(job, state)
    if not single:
        stop.leave()
    elif stop.signum is not None:
        console.show_stopped()
        raise SystemExit(128 + stop.signum)
    elif state != JobState.DONE:
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
            console.show_error(error_in_words(error))
            print(f"(To see where in the program, set {FULL_ERROR}=1.)", file=sys.stderr)
            raise SystemExit(2) from None
        finally:
            os.environ.pop(FULL_ERROR) if whole is None else os.environ.update({FULL_ERROR: whole})


def error_in_words(error: Exception) -> str:
    """What Hydra and OmegaConf say, who list what there is to choose from; of any other error its kind and message."""
    causes = [cause for cause in (error, error.__cause__) if cause]
    lines = dict.fromkeys(line for cause in causes for line in str(cause).splitlines() if line.strip())
    if isinstance(error, HydraException | OmegaConfBaseException):
        text = "\n".join(lines)
        return messages.unknown_key(text) or messages.in_a_file(text) or text
    return f"{type(error).__name__}: {' '.join(lines)}"


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> list[Planned]:
    """All jobs of a sweep, as `python -m ablations -m` would make them, whether their data are there or not.

    Args:
        config_dir: a folder of configuration of the user's, as --config-dir names it.

    Raises:
        UserError: it is not there, or the configuration is wrong.
    """
    return compose_studies(overrides, config_dir)[0]


def compose_studies(
    overrides: Sequence[str], config_dir: Path | None = None
) -> tuple[list[Planned], dict[str, dict[str, Any]]]:
    """`compose`, and the definitions of the studies; see sweep/study.py."""
    if config_dir and not config_dir.is_dir():
        raise UserError(f"{config_dir} is no folder of configuration.")
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        if config_dir:  # where hydra.main puts it
            path, before = f"file://{config_dir.absolute()}", SearchPathQuery(provider="schema")
            loader.config_search_path.prepend("command-line", path, anchor=before)
            loader.repository.initialize_sources(loader.config_search_path)
        master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
        composer = Composer(loader, master, need_files=False)
        return composer.jobs(overrides), composer.definitions


class StructuredConfigSource(stored.StructuredConfigSource):
    """Hydra's, except that completion and lists of choices leave the schemas out. Hydra insists on this class name."""

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Names in a group that a user can choose."""
        return [name for name in super().list(config_path, results_filter) if not name.endswith("schema")]


def register() -> None:
    """Store the schemas and the sweeper and launcher plugins."""
    SourcesRegistry.instance().types[StructuredConfigSource.scheme()] = StructuredConfigSource
    store = ConfigStore.instance()
    own = OmegaConf.structured(schema.Config)
    OmegaConf.set_struct(own.model, False)  # its keys are those of its family's Axes: see resolve.model_of
    OmegaConf.set_struct(own.table, False)
    store.store(name="schema", node=own)
    store.store(group="recipe", name="schema", node=schema.RecipeConfig)
    store.store(group="logger", name="schema", node=schema.LoggerConfig)
    store.store(group="data", name="glyphs_schema", node=schema.GlyphsConfig)
    store.store(group="data", name="cifar_schema", node=schema.CifarConfig)
    store.store(group="data", name="folder_schema", node=schema.FolderConfig)
    store.store(group="hydra/sweeper", name="ablations", node=AblationSweeperConf)
    store.store(group="hydra/launcher", name="workers", node=WorkersLauncherConf)
    store.store(group="hydra/launcher", name="slurm_schema", node=SlurmLauncherConf)
    _register_plugins(AblationSweeper, WorkersLauncher, SlurmLauncher)
    completion.offer_values()


def _register_plugins(*plugins: type[Plugin]) -> None:
    """Register plugins from code. Hydra instantiates only what it can import from `hydra_plugins`: they appear there.

    `hydra_plugins` is a namespace that installed plugins (submitit's, say) may already share.
    """
    try:
        parent = importlib.import_module("hydra_plugins")
    except ImportError:
        parent = sys.modules["hydra_plugins"] = ModuleType("hydra_plugins")
        parent.__path__ = []
    module = sys.modules[NAMESPACE] = ModuleType(NAMESPACE)
    setattr(parent, NAMESPACE.rpartition(".")[2], module)
    for plugin in plugins:
        plugin.__module__ = NAMESPACE
        setattr(module, plugin.__name__, plugin)
        Plugins.instance().register(plugin)
