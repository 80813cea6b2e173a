"""`python -m analysis.explain`: the number as the table shows it, and everything behind it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.explain.commands import main
from tests import results_fixture as fixture
from tests.sweeps import ROOT

pytestmark = pytest.mark.usefixtures("made_up_costs")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Both studies at 0.25x with two seeds, one of g=3 failed."""
    for study in ("groups", "shuffle"):
        runs = fixture.grid(study, [0, 1], widths=[0.25])
        fixture.write_plan(tmp_path, study, runs, day=2)
        for one in runs:
            fixture.write_done(
                tmp_path, one, 0.3 + one.seed / 100 + (0 if one.variant.axes["shuffle"] else 0.05 + one.seed / 50)
            )
    failed = fixture.run(3, 0.25, seed=1)
    (tmp_path / "runs" / failed.run_id / "result.json").unlink()
    fixture.write_failure(tmp_path, failed, "failed", "out of \x1b[31mmemory")
    return tmp_path


def explain(results: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main([*arguments, "--results", str(results)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_cell_of_table_2(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "runs" / fixture.run(3, 0.25).run_id / "log.txt").touch()
    code, text = explain(results, capsys, "table2", "--groups", "3", "--width", "0.25")
    assert code == 0 and "Table 2: ShuffleNet 0.25x, g=3\n===" in text
    assert "Top-1 error (%): 30.0 [26.7, 33.3], 1 of 2 seeds, 1 failed" in text
    assert "The paper: 55.0 (Table 2, g=3)" in text and "missing: Seed 1 failed: out of  [31mmemory" in text
    assert "\x1b" not in text
    done = next(line for line in text.splitlines() if line.split()[:2] == ["0", "done"])
    assert "30.00" in done and "commit cccccccccc, clean" in done and "cpu: Test CPU" in done
    assert "python:       3.11.0\ntorch:        2.15.0\n" in text and "command:      python -m ablations\n" in text
    folder = results / "runs" / fixture.run(3, 0.25).run_id
    assert f"seed 0 config:   {folder}/run.json\n" in text and f"seed 0 log:      {folder}/log.txt\n" in text
    assert "log.txt  (absent)" in text, "the failed run has none"
    assert "glyphs: 10 classes, 2,000 grey training images" in text and "no shuffle" not in text


def test_table_3_shows_both_arms_and_the_gain(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explain(results, capsys, "table3", "--groups", "8", "--width", "0.25")
    assert code == 0
    heads = [line for line in text.splitlines() if line.startswith("Table 3: ")]
    assert [head.removeprefix("Table 3: ShuffleNet 0.25x, g=8") for head in heads] == [
        ", no shuffle",
        "",
        ": gain from shuffle",
    ]
    assert "Points off the error: +6.0 [2.7, 9.3], 2 seeds" in text and "+7.00" in text
    code, text = explain(results, capsys, "table3", "--groups", "8", "--width", "0.25", "--shuffle", "false")
    assert code == 0 and text.count("Table 3: ") == 1 and "g=8, no shuffle" in text


def test_runs_of_one_cell_from_two_commits_are_warned_of(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixture.write_done(results, fixture.run(8, 0.25, seed=1), 0.3, commit="d" * 40)
    _, text = explain(results, capsys, "table2", "--groups", "8", "--width", "0.25")
    assert "WARNING: The runs differ in code: commit cccccccccc, clean (seed 0); commit dddddddddd, clean (s" in text


def test_many_runs_are_a_table_with_a_pattern_for_their_files(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2, 20):
        fixture.write_done(results, fixture.run(8, 0.25, seed=seed), 0.3)
    _, text = explain(results, capsys, "table2", "--groups", "8", "--width", "0.25")
    assert f"config:       {results}/runs/RUN/run.json\n" in text and "seed 3 config" not in text
    assert all(fixture.run(8, 0.25, seed=seed).run_id in text for seed in range(20))


def test_a_cell_without_runs_is_told(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explain(results, capsys, "table2", "--groups", "3", "--width", "1")
    assert code == 0 and "Top-1 error (%): not planned\n" in text and "No run of this cell is planned" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table2", "--groups", "5", "--width", "0.25"], "table2 has no cell with g=5 at 0.25x. It has 1x g=1, 1x g=2"),
        (["table3", "--groups", "1", "--width", "1"], "table3 has no cell with g=1 at 1x"),
        (["table9"], "There is no table table9: choose one of table2, table3."),
        (["table2", "--groups", "3", "--width", "1", "--protocol", "zz"], "PROTOCOL=zz fits none of the protocols"),
        (["table2", "--groups", "3", "--width", "1", "--structure", "blog"], "Say which with --structure (make: ARGS="),
        (["table2", "--groups", "3"], "Say which cell of table2: --width (make: WIDTH=) is needed."),
        (["table2", "--groups", "3", "--width", "1", "--shuffle", "false"], "has this cell with shuffle on only"),
    ],
)
def test_a_number_that_is_not_there_is_an_error(
    results: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code, text = explain(results, capsys, *arguments)
    assert code == 1 and text.startswith("error: ") and sentence in text


def test_no_results_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explain(tmp_path, capsys, "table3", "--groups", "3", "--width", "1")
    assert code == 1 and "train some with `make ablation-shuffle`" in text


def test_which_of_several_is_asked_for(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = fixture.protocol(epochs=4)
    fixture.write_plan(results, "groups", [fixture.run(8, 0.25, under=older)], day=1)
    fixture.write_done(results, fixture.run(8, 0.25, under=older), 0.5)
    fixture.write_done(results, fixture.run(8, 0.25, stem_channels=16), 0.6)
    cell = ("table2", "--groups", "8", "--width", "0.25")
    code, text = explain(results, capsys, *cell, "--protocol", "8ep")
    assert (
        code == 1
        and 'Say which with --stem-channels (make: ARGS="--stem-channels"): this cell comes with 8, 16.' in text
    )
    _, text = explain(results, capsys, *cell, "--stem-channels", "16", "--protocol", "8ep")
    assert "Top-1 error (%): 60.0" in text
    protocol_id = fixture.run(8, 0.25, under=older).protocol_id
    _, text = explain(results, capsys, *cell, "--protocol", protocol_id[:6])
    assert "Top-1 error (%): 50.0" in text and "4 epochs" in text and "choose" not in text


def test_one_of_several_protocols_or_structures_is_never_taken_in_silence(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = ("table2", "--groups", "8", "--width", "0.25")
    assert "choose" not in explain(results, capsys, *cell)[1]
    other = replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, label_smoothing=0.1))
    fixture.write_plan(results, "groups", [fixture.run(8, 0.25, under=other)], day=1)
    fixture.write_done(results, fixture.run(8, 0.25, structure="blog"), 0.5)
    code, text = explain(results, capsys, *cell)
    title = "glyphs 24×24, 2,000 training images, 8 epochs, label smoothing"
    mine, theirs = (fixture.run(8, 0.25, under=under).protocol_id for under in (fixture.PROTOCOL, other))
    names = [f"glyphs-8ep-label-smoothing-{value}-{one[:4]}" for value, one in ((0, mine), (0.1, theirs))]
    assert code == 1 and text == (
        "error: There are 2 protocols: say which with --protocol (make: PROTOCOL=). "
        f"{names[0]} ({title} 0); {names[1]} ({title} 0.1).\n"
    )
    listed = explain(results, capsys)[1]
    assert f"table2 PROTOCOL={names[1]}  {title} 0.1\n" in listed and "WIDTH=0.25 PROTOCOL=name (SHUFFLE" in listed
    code, text = explain(results, capsys, *cell, "--protocol", names[0])
    said = 'This cell comes with several structures (shufflenet, blog); --structure (make: ARGS="--structure") chooses.'
    assert code == 0 and f"{said}\n" in text
    chosen = explain(results, capsys, *cell, "--protocol", mine, "--structure", "shufflenet")[1]
    assert "choose" not in chosen and "label smoothing 0;" in chosen
    assert "label smoothing 0.1;" in explain(results, capsys, *cell, "--protocol", "label smoothing 0.1")[1]


def test_make_explain_hands_its_variables_on() -> None:
    words = ["TABLE=table3", "GROUPS=8", "WIDTH=0.5", "SHUFFLE=false", "PROTOCOL=ab"]
    command = ["make", "-s", "-o", ".venv/.ready", "PY=echo", "explain", *words]
    line = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = "-m analysis.explain table3 --results=results --groups=8 --width=0.5 --shuffle=false --protocol=ab"
    assert wanted in line


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_output_cannot_show_is_escaped(tmp_path: Path, encoding: str) -> None:
    fixture.write_done(tmp_path, fixture.run(3, 0.25), 0.3)
    fixture.write_failure(tmp_path, fixture.run(3, 0.25, seed=1), "failed", "größer als − 3")
    options = ["table2", "--groups", "3", "--width", "0.25", "--results", str(tmp_path)]
    assert main(options) == 0  # keeps the costs of networks, so that the process below need not measure them
    command = [sys.executable, "-m", "analysis.explain", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    text = done.stdout.decode(encoding)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    assert r"als \u2212 3" in text and ("größer" in text or r"gr\xf6\xdfer" in text)


def test_without_a_cell_it_lists_what_there_is(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explain(results, capsys)
    assert code == 0 and "table2 PROTOCOL=" in text and "table3 PROTOCOL=" in text
    assert "  WIDTH=0.25 GROUPS=1, 2, 3, 4, 8\n" in text and "  WIDTH=0.25 GROUPS=3, 8\n" in text
    assert "table2" not in explain(results, capsys, "table3")[1].partition("One number")[0]


def test_an_empty_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(tmp_path, capsys) == (
        1,
        f"error: There are no results in {tmp_path} yet: train some with `make ablation-groups`.\n",
    )
