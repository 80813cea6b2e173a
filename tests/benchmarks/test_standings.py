"""The tables of a comparison: what is divided by what, medians over repeats, and the arithmetic of the roof."""

import csv
import io
from pathlib import Path

import pytest

from benchmarks import contest, environment, gpu_study, peers, roof, standings
from benchmarks.contest import Cell, Turn, Work


def turn(contestant: str, repeat: int, seconds: float) -> Turn:
    """A command of two cells a width; its runs take nine tenths of it, 1x three times as long as others."""
    parts = [(width, groups, 3.0 if width == 1.0 else 1.0) for width in (0.25, 1.0) for groups in (1, 8)]
    whole = sum(part for _, _, part in parts)
    cells = [Cell(g, w, 0.9 * seconds * part / whole, 100.0 / seconds, 0.5) for w, g, part in parts]
    return Turn(contestant, repeat, seconds, cells)


TAKEN = [
    *(turn("reference", 0, 30.0), turn("ours", 0, 10.0)),
    *(turn("ours", 1, 20.0), turn("reference", 1, 80.0)),
    *(turn("reference", 2, 60.0), turn("ours", 2, 30.0)),
]


def test_ratios_are_taken_within_a_repeat_and_then_their_median():
    reference, ours = standings.commands(TAKEN)
    assert (reference["contestant"], reference["seconds"], reference["repeats"]) == ("reference", 60.0, 3)
    assert (reference["least"], reference["ours is faster by"], reference["most"]) == (2.0, 3.0, 4.0)
    assert ours["ours is faster by"] == 1.0


def test_widths_are_the_sums_of_their_cells():
    rows = {(row["of"], row["contestant"]): row for row in standings.widths(TAKEN)}
    assert rows["1x", "ours"]["seconds"] == pytest.approx(0.9 * 20 * 3 / 4)
    assert rows["0.25x", "reference"]["ours is faster by"] == 3.0


def test_cells_have_their_cost_their_share_of_the_roof_and_no_ratio_without_ours():
    macs = {(name, g, w): int(1e6 * g) for name in ("reference", "ours") for g in (1, 8) for w in (0.25, 1.0)}
    rows = standings.cells(TAKEN, macs, gflops=100.0)
    assert len(rows) == 2 * 2 * 2
    (one,) = [r for r in rows if (r["contestant"], r["groups"], r["width"]) == ("ours", 8, 1.0)]
    assert one["M multiply-adds"] == 8.0 and one["images/s of training"] == 5.0
    assert one["share of the roof, %"] == pytest.approx(100 * 6 * 8e6 * 5 / 100e9, abs=0.05)
    alone = standings.cells([t for t in TAKEN if t.contestant != "ours"], macs, 100.0)
    assert {row["ours is faster by"] for row in alone} == {None}


def test_tables_are_well_formed_as_markdown_and_as_csv():
    rows = standings.commands(TAKEN)
    lines = standings.markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows) and len({line.count("|") for line in lines}) == 1
    back = list(csv.DictReader(io.StringIO(standings.comma_separated(rows))))
    assert [row["contestant"] for row in back] == [row["contestant"] for row in rows]
    assert float(back[0]["seconds"]) == rows[0]["seconds"]


def test_a_share_of_the_roof_is_three_passes_of_two_operations():
    assert roof.share(macs=10_000_000, images_per_second=1000, gflops=120) == pytest.approx(0.5)
    roofs = {"one core alone": roof.Roof(90, {}), "per core, all busy": roof.Roof(80, {})}
    assert roof.ceiling(roofs) == 80 and roof.ceiling({"GPU": roof.Roof(1e5, {})}) == 1e5


def test_the_roof_is_measured_by_processes_that_work_at_once(monkeypatch):
    monkeypatch.setattr(environment, "cores", lambda: 2)
    found = roof.measure("cpu", seconds=0.05)
    assert set(found) == {"one core alone", "per core, all busy"}
    for one in found.values():
        assert one.gflops > 0.5 and set(one.copies) == set(roof.COPIES) and min(one.copies.values()) > 0.1


def test_turns_rotate_and_cover_everybody():
    names = ["a", "b", "c"]
    assert [peers.rotated(names, k)[0] for k in range(4)] == ["a", "b", "c", "a"]
    assert all(sorted(peers.rotated(names, k)) == names for k in range(4))


def test_every_contestant_is_given_the_same_work(tmp_path):
    """The recipe of the preset goes to the reference loop number by number; images are the harness's."""
    (tmp_path / "data").mkdir()
    work = Work(tmp_path / "data", tmp_path, train_images=320, epochs=3, widths=(0.5, 1.0), extra=("recipe.lr=0.07",))
    ours = contest.command("ours", work, Path("images.npz"), Path("out"))
    assert {"recipe.epochs=3", "recipe.lr=0.07", "model.width=0.5,1.0", "ablation=groups", "seed=0"} <= set(ours)
    theirs = contest.command("pytorchcv", work, Path("images.npz"), Path("out"))
    told = dict(word.split("=", 1) for word in theirs if "=" in word)
    assert (told["network"], told["width"], told["groups"]) == ("pytorchcv", "0.5,1.0", "1,2,3,4,8")
    _, run = contest.composed(work, 3, 0.5)
    recipe = run.protocol.recipe
    assert recipe.lr == 0.07 and recipe.epochs == 3
    for key in ("epochs", "batch_size", "lr", "nesterov", "weight_decay", "label_smoothing", "warmup_epochs", "pad"):
        assert told[key] == str(getattr(recipe, key)), key
    assert told["stem"] == run.protocol.stem and told["precision"] == run.protocol.precision


def test_a_recipe_that_the_reference_loop_does_not_know_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    work = Work(tmp_path / "data", tmp_path, extra=("recipe.jitter=0.4",))
    with pytest.raises(SystemExit, match="jitter"):
        contest.command("reference", work, Path("images.npz"), Path("out"))


def test_the_gpu_study_is_judged_by_its_time_and_by_the_sampled_rates():
    rates = [
        {"groups": g, "width": w, "images_per_second": r} for w in (0.25, 0.5, 1.0) for g, r in ((1, 50), (8, 100))
    ]
    # Of a width's 7 cells g = 1, 2, 3, 4 and 3 again are nearest to the first, 8 and 8 to the second.
    assert gpu_study.reference_seconds(rates, images=1000, seeds=2) == pytest.approx(2 * 3 * (5 * 20 + 2 * 10))
    ours = {"seconds": 60.0, "runs": 42, "images": 42_000, "epochs": 1, "seeds": 2}
    rows = {row["what"]: row for row in gpu_study.summary(ours, {"rates": rates})}
    assert rows["ours is faster by"] == {
        "what": "ours is faster by",
        "measured": "12.0",
        "asked for": "at least 10",
        "": "yes",
    }
    assert [row[""] for row in gpu_study.summary({**ours, "seconds": 700.0}, None)] == ["no", ""]
    with pytest.raises(SystemExit, match="No cell of width 1 "):
        gpu_study.reference_seconds([one for one in rates if one["width"] < 1], 1000, 1)


def test_a_command_is_told_without_the_places_of_this_machine(monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "--data", "/secret/place", "--out=/secret", "--epochs", "2"])
    assert environment.command("benchmarks.peers") == "python -m benchmarks.peers --data ... --out=... --epochs 2"


def test_the_report_names_everything_and_its_tables_are_written_beside_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    asked = []

    def stand_in(contestant, work, repeat, images, out):
        asked.append((repeat, contestant))
        return turn(contestant, repeat, 30.0 if contestant == "reference" else 10.0)

    monkeypatch.setattr(peers, "take_turn", stand_in)
    monkeypatch.setattr(peers, "choose_images", lambda work, path: None)
    monkeypatch.setattr(roof, "measure", lambda device: {"per core, all busy": roof.Roof(90.0, {"L2": 50.0})})
    places = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    few = ["--contestants=reference,ours", "--groups=1,8", "--widths=0.25,1.0"]
    peers.main([*places, *few, "--repeats=2"])
    assert asked == [(0, "reference"), (0, "ours"), (1, "ours"), (1, "reference")], "turns rotate"
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"README.md", "commands.csv", "widths.csv", "cells.csv", "roof.csv", "turns.csv"}
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip() and str(tmp_path) not in text
    assert "benchmarks.peers" in text and "torch 2" in text
    cells = list(csv.DictReader((tmp_path / "out" / "cells.csv").open()))
    assert {float(row["ours is faster by"]) for row in cells if row["contestant"] == "reference"} == {3.0}


def test_what_the_comparison_needs_is_asked_for_before_it_starts(tmp_path, capsys):
    for arguments, complaint in (
        (["--data", str(tmp_path)], "no cifar-10-batches-py"),
        (["--data", str(tmp_path), "--contestants", "ours,nobody"], "nobody"),
    ):
        with pytest.raises(SystemExit):
            peers.main(arguments)
        assert complaint in capsys.readouterr().err
