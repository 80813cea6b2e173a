"""Registers what Hydra needs to know of us; whoever composes a configuration calls `register` first."""

import importlib
import sys
from types import ModuleType

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin

from ablations.core import config
from ablations.sweep.local_launcher import WorkersLauncher, WorkersLauncherConf
from ablations.sweep.slurm.launcher import SlurmLauncher
from ablations.sweep.slurm.settings import SlurmLauncherConf
from ablations.sweep.sweeper import AblationSweeper, AblationSweeperConf

NAMESPACE = "hydra_plugins.ablations"


def register() -> None:
    """Store the schemas and the sweeper and launcher plugins."""
    store = ConfigStore.instance()
    store.store(name="schema", node=config.Config)
    store.store(group="model", name="schema", node=config.ModelConfig)
    store.store(group="recipe", name="schema", node=config.RecipeConfig)
    store.store(group="logger", name="schema", node=config.LoggerConfig)
    store.store(group="data", name="glyphs_schema", node=config.GlyphsConfig)
    store.store(group="data", name="cifar_schema", node=config.CifarConfig)
    store.store(group="data", name="folder_schema", node=config.FolderConfig)
    store.store(group="hydra/sweeper", name="ablations", node=AblationSweeperConf)
    store.store(group="hydra/launcher", name="workers", node=WorkersLauncherConf)
    store.store(group="hydra/launcher", name="slurm_schema", node=SlurmLauncherConf)
    _register_plugins(AblationSweeper, WorkersLauncher, SlurmLauncher)


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
