"""Every value that a file of conf/ sets is in the configuration when the file is chosen: no later file undoes it.

But for model/: there presets choose the stem.
"""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ablations.core.paths import CONF
from ablations.sweep.hydra_app import register

CHOICES = [
    f"{group}={path.stem}"
    for group in ("preset", "data", "recipe", "logger", "ablation")
    for path in sorted((CONF / group).glob("*.yaml"))
    if path.stem not in ("schema", "none") and not path.stem.endswith(("_claims", "_published"))
]


@pytest.fixture(scope="module", autouse=True)
def configured():
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def leaves(node, path=()):
    """(path, value) of all that is set below a node, interpolations as they are written."""
    if not isinstance(node, DictConfig):
        yield path, node
        return
    for key, value in node.items_ex(resolve=False):
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("choice", CHOICES)
def test_what_a_file_sets_is_set(choice):
    group, name = choice.split("=")
    file = CONF / group / f"{name}.yaml"
    chosen = compose("config", [choice], return_hydra_config=True)
    HydraConfig.instance().set_config(chosen)
    content = OmegaConf.load(file)
    content.pop("defaults", None)
    root = () if "@package _global_" in file.read_text().splitlines()[0] else (group,)
    found = dict(leaves(chosen))
    expected = dict(leaves(content, root))
    assert expected and {path: found.get(path) for path in expected} == expected
