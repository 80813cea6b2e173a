"""On the path of the sweeps in test_faults.py: each training step takes longer, without work, so that faults hit it.

Python ignores an ImportError of this module and only prints any other error, so what is wrong here ends the process.
"""

import importlib.abc
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

SECONDS = 0.08
MODULE = "ablations.training.checkpointing"
FILE = Path(__file__).resolve().parent.parent.parent.joinpath(*MODULE.split(".")).with_suffix(".py")


class Slow(importlib.abc.MetaPathFinder):
    """Finds MODULE, once, and slows it down as it is loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec and spec.loader
        load = spec.loader.exec_module

        def load_slowly(module: Any) -> None:
            load(module)
            after_step = module.Checkpointer.after_step  # an AttributeError here ends the run, and the test with it
            module.Checkpointer.after_step = lambda *arguments: (time.sleep(SECONDS), after_step(*arguments))[1]

        spec.loader.exec_module = load_slowly  # type: ignore[method-assign]
        return spec


if not FILE.is_file():
    raise SystemExit(f"{__file__} slows {MODULE} down, and there is no {FILE}: name the module that has Checkpointer.")
sys.meta_path.insert(0, Slow())
