"""The package as a user installs it: a wheel in an environment of its own, run from a folder of the user's."""

import ast
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.sweeps import ROOT, TINY, finished

PACKAGES = ("model", "ablations", "analysis")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commands of a fresh environment with the wheel; what it depends on is lent by the environment of the tests.

    The lent folder comes last on the path, and its own .pth files (the editable install of this project) do not count.
    """
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("pip")
    place = tmp_path_factory.mktemp("installed")
    source = place / "source"
    for name in (*PACKAGES, "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "lib"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    python = place / "venv" / "bin" / "python"
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (folder,) = (place / "venv" / "lib").glob("*/site-packages")
    (folder / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def run(bin: Path, where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment, with no variable that leads to the checkout."""
    words = [str(bin / command[0]), *command[1:]]
    known = {"PATH": "/usr/bin:/bin", "HOME": str(where), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    known["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")  # templates of nbconvert, which are lent, too
    return subprocess.run(words, cwd=where, env=known, capture_output=True, text=True, timeout=300)


def test_both_studies_with_report_and_notebooks_from_a_folder_of_the_users(installed, tmp_path):
    (tmp_path / "model.py").write_text("raise SystemExit('the model of the user')\n")  # the script does not look here
    settings = [word for word in TINY if word != "runtime.publish=false"]
    done = run(installed, tmp_path, "ablations", "-m", "ablation=groups,shuffle", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(finished(tmp_path / "results")) == 7 and "Report: results/report.html" in done.stdout
    for file in ("report.html", "tables/table2.csv", "tables/table3.csv", "figures/shuffle_gain.svg"):
        assert (tmp_path / "results" / file).stat().st_size > 0
    (provenance,) = {path.read_text() for path in (tmp_path / "results").glob("runs/007180e913daa872/provenance.json")}
    origin = json.loads(provenance)
    assert origin["commit"] is None and origin["versions"]["shufflenet-ablations"]
    shown = run(installed, tmp_path, "python", "-P", "-m", "analysis.notebooks")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "results" / "notebooks" / "groups.html").exists()
    code = "import ablations, analysis, model; print(ablations.__file__, analysis.__file__, model.__file__)"
    places = run(installed, tmp_path, "python", "-P", "-c", code).stdout.split()
    assert all(Path(place).is_relative_to(installed.parent) for place in places) and len(places) == 3


def test_mlflow_in_an_installed_package(installed, tmp_path):
    pytest.importorskip("mlflow")
    done = run(installed, tmp_path, "ablations", *TINY, "logger=mlflow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results" / "mlflow.db").exists()
    (log,) = (tmp_path / "results").glob("runs/*/log.txt")
    assert "mlflow" not in log.read_text().lower()  # a logger that fails is a warning there


@pytest.mark.parametrize("module", ["ablations", "ablations.status", "analysis", "analysis.explain"])
def test_a_file_that_hides_a_package_is_named(installed, tmp_path, module):
    (tmp_path / "model.py").write_text("")
    done = run(installed, tmp_path, "python", "-m", module)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {tmp_path}/model.py hides the package `model`")


def test_every_import_is_a_declared_dependency():
    """Of the package or of an extra for users, itself or by what brings it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [needs for name, needs in project["optional-dependencies"].items() if name not in ("dev", "bench")]
    declared = {re.split(r"[^\w.-]", one)[0].lower() for needs in (project["dependencies"], *extras) for one in needs}
    declared |= {
        "triton",
        "jupyter-client",
        "nbclient",
        "nbformat",
        "markupsafe",
        "pydantic-core",
    }  # by torch, nbconvert ...
    homes = importlib.metadata.packages_distributions()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        for name in {name.split(".")[0] for name in names} - {*sys.stdlib_module_names, *PACKAGES, "hydra_plugins"}:
            assert declared & {home.lower().replace("_", "-") for home in homes.get(name, [])}, f"{path} imports {name}"
