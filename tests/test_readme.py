"""README's commands exist: make's targets, configuration keys and options, linked files."""

import json
import re
import subprocess

import pytest

from ablations.core.verdict_summary import summary
from analysis.claims.verdict import Verdict
from analysis.studies.claims_table import effect_text, signed
from tests.sweeps import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))
KEYS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml"))


def test_every_make_command_is_a_target():
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", README)) - {"sure"}
    assert {"ablation-groups", "ablation-shuffle", "test"} <= named
    studies = {f"ablation-{path.stem}" for path in (ROOT / "conf" / "ablation").glob("*.yaml")}
    assert named <= TARGETS | studies


def test_help_lists_every_target():
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target} " in shown for target in TARGETS)
    assert "SEEDS=3" in shown


@pytest.mark.parametrize(
    "key,value", re.findall(r"\b((?:model|data|recipe|runtime|logger)\.[a-z_]+)=([^\s`\"]+)", README)
)
def test_every_override_is_a_key(key, value):
    name = key.split(".")[1]
    assert re.search(rf"^\s*{name}:", KEYS, re.M), key


@pytest.mark.parametrize("preset", re.findall(r"^\| `([a-z0-9]+)`", README, re.M))
def test_every_preset_exists(preset):
    assert (ROOT / "conf" / "preset" / f"{preset}.yaml").is_file()


@pytest.mark.parametrize("name", ["README.md", "docs/design.md"])
def test_every_link_to_a_file_leads_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_file_that_a_text_names_is_there():
    """In prose and in code. Tests make names up; pages of committed studies are compared with their data elsewhere."""
    named = re.compile(
        rb"(?<![\w./-])(?:ablations|analysis|model|conf|tests|benchmarks|docs)/[\w/.-]*\w\.(?:py|yaml|[ch]pp|md)\b"
    )
    folders = ("ablations", "analysis", "model", "conf", "benchmarks", "docs")
    texts = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".j2", ".md")
    ]
    texts += [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "results" / "reference").glob("*/README.md")]
    wrong = [
        f"{path}: {name.decode()}"
        for path in texts
        for name in named.findall(path.read_bytes())
        if not (ROOT / name.decode()).exists()
    ]
    assert not wrong


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_has_a_comment(path):
    """Where it stands, or, for the few keys of presets and grids, at the head of the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("# ") and "@package" not in line for line in lines[:3])
    if path.parent.name in ("model", "data", "recipe", "logger", "conf"):
        own = [line for line in lines if re.match(r"^ {0,2}[a-z_]+: +\S", line)]
        hydra = ("  dir: .", "  subdir: .", "name: ", "structure: blog")
        assert [line for line in own if "#" not in line and not line.startswith(hydra)] == []


def test_verdicts_are_those_of_the_reference_study():
    """Every claim that it tested, as claims.json has it."""
    study = json.loads((ROOT / "results" / "reference" / "cifar10" / "claims.json").read_text(encoding="utf-8"))
    judged = [one for one in (Verdict(**claim) for claim in study["claims"]) if one.effect is not None]
    lines = [
        f"| {one.verdict} | {one.says} | {effect_text(one)} | {signed(one.paper_effect, one.unit)} |" for one in judged
    ]
    assert summary(study["claims"]) in " ".join(README.split())
    shown = README[README.index("| verdict | claim |") :].split("\n\n")[0].splitlines()[2:]
    assert shown == lines
