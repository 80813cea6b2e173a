"""What README and docs/ name exists: make's targets, configuration keys, presets, linked files; their code runs."""

import json
import re
import subprocess

import pytest
import torch

from ablations.core.verdict_summary import summary
from analysis.claims.verdict import Verdict
from analysis.studies.claims_table import effect_text, signed
from scripts import configuration
from tests import results_fixture as fixture
from tests.sweeps import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))
KEYS = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "conf").rglob("*.yaml"))


def test_every_make_command_is_a_target():
    named = set(re.findall(r"[`\n]make ([a-z][a-z-]+)", TEXT))
    assert {"ablation-groups", "ablation-shuffle", "test"} <= named
    studies = {f"ablation-{path.stem}" for path in (ROOT / "conf" / "ablation").glob("*.yaml")}
    assert named <= TARGETS | studies


def test_help_lists_every_target():
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target} " in shown for target in TARGETS)
    assert "SEEDS=3" in shown


@pytest.mark.parametrize(
    "key,value", re.findall(r"\b((?:model|data|recipe|runtime|logger)\.[a-z_]+)=([^\s`\"]+)", TEXT)
)
def test_every_override_is_a_key(key, value):
    name = key.split(".")[1]
    assert re.search(rf"^\s*{name}:", KEYS, re.M), key


@pytest.mark.parametrize("preset", re.findall(r"PRESET=([a-z0-9-]+)|preset=([a-z0-9-]+)", TEXT))
def test_every_preset_exists(preset):
    preset = "".join(preset)
    assert (ROOT / "conf" / "preset" / f"{preset}.yaml").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_to_a_file_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            found = page.parent / target if target else page
            assert found.exists(), target
            assert not anchor or anchor[1:] in anchors(found), f"{target}{anchor}"


def anchors(page):
    """Anchors of headings, as forges and Zensical make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_front_page_is_short_and_leads_to_every_page():
    assert len(README.splitlines()) <= 150
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f'"{page.name}"' in site
        assert page.name == "index.md" or f"]({page.name})" in index, page


def test_the_page_of_all_keys_is_what_conf_says():
    made = configuration.page()
    assert made == configuration.PAGE.read_text(encoding="utf-8"), "make configuration"
    recipes = [part for part in made.split("\n## [conf/") if part.startswith("recipe/")]
    assert recipes and not any("| `recipe." in part for part in recipes)
    assert "| `lr` | `0.2` | peak learning rate; falls linearly to 0 |" in made
    assert "| `runtime.fuse` | `auto` | auto \\| 1 \\| N: networks of one shape" in made
    assert made.count("\n## [conf/") == len(list((ROOT / "conf").rglob("*.yaml")))


@pytest.mark.parametrize("name", ["README.md", "docs/python.md"])
@pytest.mark.usefixtures("made_up_costs")
def test_python_code_runs_and_gives_what_it_says(name, tmp_path):
    """A folder of one run stands for results of the user's; what needs particular files in it is left out."""
    fixture.write_plan(tmp_path, "groups", [fixture.run(3, 0.25)])
    fixture.write_done(tmp_path, fixture.run(3, 0.25), 0.3)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    known: dict = {}
    for block in (block for block in blocks if "results/" not in block):
        exec(block.replace('"results"', repr(str(tmp_path))), known)
        for expression, value in re.findall(r"^(complexity\(.*\)\.macs) +# (\d+)", block, re.M):
            assert eval(expression, known) == int(value)
    assert known["network"](torch.zeros(2, 3, 32, 32)).shape == (2, 10)


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
    texts += [
        *(ROOT / "scripts").glob("*.py"),
        ROOT / "README.md",
        ROOT / "Makefile",
        *(ROOT / "results" / "reference").glob("*/README.md"),
    ]
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
    if (
        path.parent.name in ("data", "recipe", "logger", "conf") or path.name == "shufflenet.yaml"
    ):  # axes have their own help
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
