"""From a configuration to stored results.

Packages import in one direction: core < data, store < training < execution, verification < monitor < sweep < profiling.
The modules beside them are addresses of commands. Uses `model`; starts `analysis` as a process and never imports it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path


def _check_model() -> None:
    """Python looks for `model` in the current folder first: name a file there that hides ours.

    Raises:
        ImportError: there is one; under `python -m` the program ends with a sentence instead.
    """
    ours, found = Path(__file__).parent.parent / "model" / "__init__.py", find_spec("model")
    origin = found and found.origin
    if origin and Path(origin).resolve() != ours.resolve():
        text = (
            f"{origin} hides the package `model` of the ablations: rename it, or use `python -P -m` or another folder."
        )
        raise SystemExit(f"error: {text}") if sys.argv[:1] == ["-m"] else ImportError(text)


_check_model()
