"""Registers what Hydra needs to know of us; whoever composes a configuration calls `register` first."""

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from ablations import config
from ablations.launch import WorkersLauncher, WorkersLauncherConf
from ablations.sweep import AblationSweeper, AblationSweeperConf


def register() -> None:
    """Store the schemas and the sweeper and launcher plugins."""
    store = ConfigStore.instance()
    store.store(name="schema", node=config.Config)
    store.store(group="model", name="schema", node=config.ModelConfig)
    store.store(group="recipe", name="schema", node=config.RecipeConfig)
    store.store(group="data", name="glyphs_schema", node=config.GlyphsConfig)
    store.store(group="data", name="cifar_schema", node=config.CifarConfig)
    store.store(group="data", name="folder_schema", node=config.FolderConfig)
    store.store(group="hydra/sweeper", name="ablations", node=AblationSweeperConf)
    store.store(group="hydra/launcher", name="workers", node=WorkersLauncherConf)
    plugins = Plugins.instance()
    plugins.register(AblationSweeper)
    plugins.register(WorkersLauncher)
