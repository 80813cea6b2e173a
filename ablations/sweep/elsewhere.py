"""What a sweep asks a launcher whose runs are trained on other machines than this; other launchers have no answer.

Such a launcher may have `check()`, which refuses wrong settings before anything; `settle(config)`, which replaces what
only the other machines could find out; and `at_once(runtime)`, how many runs they train at a time.
"""

from collections.abc import Callable
from typing import Any

from ablations.core.config import Config, RuntimeConfig
from ablations.execution.worker import worker_count

Settle = Callable[[Config], Config]


def check(launcher: Any) -> None:
    """Have a launcher look at its settings.

    Raises:
        UserError: they are wrong, or what it needs is not here.
    """
    getattr(launcher, "check", lambda: None)()


def settle(launcher: Any) -> Settle:
    """How a launcher changes composed configurations before they are resolved to runs."""
    found: Settle = getattr(launcher, "settle", lambda config: config)
    return found


def at_once(launcher: Any, runtime: RuntimeConfig) -> int:
    """How many runs are trained at a time."""
    found: int = getattr(launcher, "at_once", worker_count)(runtime)
    return found
