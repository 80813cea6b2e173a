"""Executes the notebooks on a results folder and writes them as .ipynb and .html to results/notebooks."""

import argparse
import asyncio
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ablations.core.console import show_error
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from analysis.runs.files import write

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK = Path(__file__).with_name("study.py")
"""The notebook, which shows the study that STUDY names."""

SCRIPT = re.compile(r"<script\b.*?</script>\s*", re.DOTALL | re.IGNORECASE)
"""What nbconvert loads from a network (require.js, MathJax, Mermaid), and what uses it: these notebooks need none."""


def execute(results: Path) -> list[Path]:
    """Run the notebook of each study in a fresh kernel of this very Python, whatever kernels the user has installed.

    Returns:
        The written files, <results>/notebooks/<name>.ipynb and .html.

    Raises:
        UserError: there are no results, a package of the `notebooks` extra is missing, or a cell fails.
        OSError: nothing can be written to <results>/notebooks.
    """
    if not any((results / folder).is_dir() and any((results / folder).iterdir()) for folder in ("plans", "runs")):
        raise UserError(f"There are no results in {results} to show: train some with `make ablation-groups`.")
    try:
        import ipykernel  # noqa: F401  the kernel itself is started by name
        import jupytext
        import nbformat
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise UserError(f"Notebooks need {error.name}: install the notebooks extra, or use `make notebooks`.") from None
    folder = results / "notebooks"
    with tempfile.TemporaryFile(dir=folder if folder.exists() else results):
        pass  # it can be written: found out before the minute that executing takes
    written = []
    for name in _studies(results):
        notebook = jupytext.read(NOTEBOOK)
        _run(notebook, name, results)
        exporter = HTMLExporter()  # type: ignore[no-untyped-call]
        page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name}})
        page = SCRIPT.sub("", page)
        source = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
        written += [write(folder / f"{name}.ipynb", source, results), write(folder / f"{name}.html", page, results)]
    return written


def _studies(results: Path) -> list[str]:
    """The studies of a results folder."""
    from ablations.store.plans import read_plans
    from analysis.runs import frame
    from analysis.runs.study import studies

    return [study.name for study in studies(read_plans(results), frame.runs(results)["belongs_to"])]


class _Loop(asyncio.SelectorEventLoop):
    """Keeps nbclient from handling Ctrl-C, which it takes for the death of the kernel: asyncio.Runner handles it."""

    def add_signal_handler(self, *arguments: Any) -> NoReturn:
        """Say what nbclient hears outside the main thread, too."""
        raise RuntimeError("signals are asyncio.Runner's")


def _run(notebook: "NotebookNode", name: str, results: Path) -> None:
    """Execute a notebook in place, from the project's root."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    # With no folder to look in, the only kernel is the native one, which ipykernel makes of sys.executable.
    specs = KernelSpecManager(kernel_dirs=[])
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    surroundings = {**os.environ, "RESULTS_DIR": str(results.resolve()), "STUDY": name, "PYTHONPATH": path}
    quiet = ["--log-level=ERROR"]  # a kernel on this machine warns that its sockets are not encrypted
    client = NotebookClient(
        notebook, km=manager, timeout=600, record_timing=False, extra_arguments=quiet, shutdown_kernel="immediate"
    )

    async def run() -> None:
        try:
            await client.async_execute(env=surroundings, cwd=str(ROOT))
        except DeadKernelError:
            task = asyncio.current_task()
            if task and task.cancelling():  # by Ctrl-C, which nbclient takes for the death of the kernel here, too
                raise asyncio.CancelledError from None
            raise

    try:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(run())
    except CellExecutionError as error:
        raise UserError(f"Notebook {name} failed: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise UserError(f"Notebook {name} lost its kernel: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Execute all notebooks and print their paths.

    Exit code 1 if there is nothing to show or a notebook fails, 2 if the folder cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m analysis.notebooks", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds runs/ and plans/")
    results = parser.parse_args(arguments).results
    try:
        for path in execute(results):
            print(path)
    except UserError as error:
        show_error(error)
        return 1
    except OSError as error:
        show_error(UserError(f"Notebooks cannot be written to {results / 'notebooks'} ({error.strerror})."))
        return 2
    return 0
