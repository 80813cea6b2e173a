"""make hands every name of a folder on as it is, through the shell and through Hydra."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.sweeps import ROOT, TINY, environment, finished

NAMES = (
    "my results",
    'it\'s "so" `x` \\',
    "$HOME ${x} $(y) $$",
    "a,b=c [d] {e} (f) #g; & | * ? ! %",
    "~a",
    "-x",
    "Größe ⊕",
    "new\nline",
)
TARGETS = ("status", "tables", "report", "explain", "latency", "notebooks", "merge", "forget")


def make(target: str, *words: str, python: str = sys.executable, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a target with this Python, or a stand-in for it; the environment counts as made."""
    command = ["make", "-s", "-o", ".venv/.ready", "-o", ".venv/.ready-dev", target, f"PY={python}", *words]
    surroundings = {**environment(), **variables}
    return subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=300)


@pytest.fixture
def echo(tmp_path: Path) -> str:
    """A command that prints its arguments, and what the variables are, as JSON."""
    path = tmp_path / "echo"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_gets_the_folder_that_is_named(echo, name):
    for target in TARGETS:
        done = make(target, f"RESULTS={name}", "FROM=x", python=echo)
        assert f"--results={name}" in json.loads(done.stdout)[0], done.stderr
    for target in ("merge", "reference-pack"):
        words, _ = json.loads(make(target, f"FROM={name}", "NAME=x", python=echo).stdout)
        assert name in words[words.index("--") :]
    for target in ("ablation-groups", "ablation-shuffle", "ablations", "cost", "smoke"):
        words, seen = json.loads(make(target, f"RESULTS={name}", f"DATA_DIR={name}", python=echo).stdout)
        assert any(word.startswith("runtime.results_dir=$RESULTS") for word in words)
        assert (seen["RESULTS"], seen["DATA_DIR"]) == (name, name)
    for target in ("ablations", "cost"):
        words, _ = json.loads(make(target, f"CONFIG_DIR={name}", python=echo).stdout)
        assert f"--config-dir={name}" in words and "ablation=groups,shuffle" in words
    for target in ("ablation", "cost"):
        words, seen = json.loads(make(target, f"STUDY={name}", python=echo).stdout)
        assert "ablation=$STUDY" in words and seen["STUDY"] == name
    words, _ = json.loads(make("new-study", f"NAME={name}", f"CONFIG_DIR={name}", python=echo).stdout)
    assert words[-3:] == [f"--folder={name}", "--", name]


def test_every_study_is_a_target_and_a_study_must_be_named(echo):
    assert "ablation=mobilenet" in json.loads(make("ablation-mobilenet", python=echo).stdout)[0]
    for target in ("ablation", "new-study"):
        done = make(target, python=echo)
        assert done.returncode and "error: say" in done.stderr


def test_a_variable_of_the_environment_counts_as_one_of_make(echo):
    assert "--results= a$b " in json.loads(make("tables", python=echo, RESULTS=" a$b ").stdout)[0]
    assert "--results=results" in json.loads(make("tables", "RESULTS=", python=echo).stdout)[0]


@pytest.mark.parametrize("given,meant", [("~", "{}"), ("~/my results", "{}/my results"), ("a~/b", "a~/b")])
def test_a_leading_tilde_is_the_home_folder(echo, given, meant):
    done = make("tables", f"RESULTS={given}", python=echo, HOME="/home/some one")
    assert f"--results={meant.format('/home/some one')}" in json.loads(done.stdout)[0]


@pytest.mark.parametrize(
    "given,meant", [("SEED", "SEEDS"), ("PRESETS", "PRESET"), ("WORKER", "WORKERS"), ("ARG", "ARGS")]
)
def test_a_variable_that_make_does_not_know_ends_the_command(echo, given, meant):
    done = make("ablation-groups", f"{given}=3", python=echo)
    assert done.returncode == 2 and not done.stdout
    assert f"{given} is not a variable here; did you mean {meant}?" in done.stderr
    assert make("ablation-groups", python=echo, **{given: "3"}).returncode == 0  # not on the command line: not for us


def test_variables_that_are_like_none_get_the_list(echo):
    done = make("tables", "x'y=3", python=echo)
    assert done.returncode == 2 and "x'y is not a variable here? There are PRESET, SEEDS," in done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "a", "1.5", "3,4", "$x"])
def test_a_number_of_seeds_that_is_none_ends_the_command(value):
    done = make("ablation-groups", f"SEEDS={value}")
    assert done.returncode == 2 and done.stderr.startswith(f"error: SEEDS={value} is no whole number from 1: ")


def test_words_about_plans_arrive_whole(echo):
    words, _ = json.loads(make("forget", "STUDY=a b", "PROTOCOL=$c", python=echo).stdout)
    assert {"--study=a b", "--protocol=$c"} <= set(words)


def test_a_protocol_to_pin_arrives_whole(echo):
    words, _ = json.loads(make("pin", "PROTOCOL=lr $c", python=echo).stdout)
    assert words == ["-m", "analysis", "--results=results", "--pin=lr $c"]


@pytest.mark.parametrize("arguments,stamps", [("", {".ready"}), ("logger=mlflow", {".ready", ".ready-dev"})])
def test_a_training_installs_what_it_needs(tmp_path, arguments, stamps):
    """Loggers come with the development packages; each lock is installed once."""
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    command = ["make", "-n", "ablations", f"ARGS={arguments}"]
    shown = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^touch \S*/(\S+)$", shown, re.M)) == stamps


def test_clean_keeps_runs_and_all_that_is_not_its_own(tmp_path):
    """The Makefile is tried on a folder of its own: it deletes the environment and caches of the current one."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    results = tmp_path / "my results; $x"
    for name in ("runs", "tables", "figures", "smoke"):
        (results / name).mkdir(parents=True)
    (results / "runs.csv").touch()
    subprocess.run(["make", "-s", "clean", f"RESULTS={results.name}"], cwd=tmp_path, check=True)
    assert [path.name for path in results.iterdir()] == ["runs"]


def test_a_study_on_a_folder_of_images_with_odd_names(tmp_path):
    odd = tmp_path / "a, b=[c] $d 'e' \"f\" ü"
    for split in ("train", "val"):
        for kind in ("one", "two"):
            (odd / split / kind).mkdir(parents=True)
            for number in range(8):
                Image.new("RGB", (8, 8), (number, len(kind), 7)).save(odd / split / kind / f"{number}.png")
    settings = [word for word in TINY if not word.startswith(("preset", "data."))]
    grid = [
        "ablation=single",
        "data=imagefolder",
        "data.cache_resolution=8",
        "data.resolution=8",
        "data.train_images=16",
        "data.test_images=16",
        "recipe.batch_size=8",
    ]
    cache = tmp_path / "cache"
    done = make(
        "ablations",
        "PRESET=smoke",
        f"DATA_DIR={odd}",
        f"RESULTS={odd}/my results",
        f"ARGS={' '.join([*settings, *grid, f'data.cache_dir={cache}'])}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(finished(odd / "my results")) == 1
