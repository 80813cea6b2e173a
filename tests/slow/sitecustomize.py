"""On the path of the sweeps in test_faults.py: each training step takes longer, without work, so that faults hit it."""

import importlib.abc
import importlib.util
import sys
import time
from typing import Any

SECONDS = 0.08


class Slow(importlib.abc.MetaPathFinder):
    """Finds ablations.training.checkpointing, once, and slows it down as it is loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "ablations.training.checkpointing":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec and spec.loader
        load = spec.loader.exec_module

        def load_slowly(module: Any) -> None:
            load(module)
            after_step = module.Checkpointer.after_step
            module.Checkpointer.after_step = lambda *arguments: (time.sleep(SECONDS), after_step(*arguments))[1]

        spec.loader.exec_module = load_slowly  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Slow())
