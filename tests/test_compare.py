"""Two sets of runs: compatible, different or too few to tell, at the rates that the table says."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablations.core.run_spec import Axes, Variant
from analysis import compare, tidy
from analysis.claims.spread import of_runs
from analysis.compare import COMPATIBLE, DIFFERS, NOTHING, TOO_FEW, differences, verdict
from analysis.runs import frame
from analysis.runs.cell import Cell
from analysis.runs.finished import read
from tests import results_fixture as fixture
from tests.make import shufflenet_cell

ROUNDS = 200
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / ROUNDS)


def folder(path: Path, shift: float = 0.0, seeds: Iterable[int] = range(3), sd: float = 0.001, start: int = 0) -> Path:
    """Three cells; errors as fractions with this standard deviation, the last cell's shifted."""
    source = np.random.default_rng(start)
    runs = [(groups, fixture.run(groups, 0.25, True, seed)) for groups in (1, 3, 8) for seed in seeds]
    fixture.write_plan(path, "groups", [one for _, one in runs])
    for groups, one in runs:
        error = 0.3 + source.normal(0, sd) + (shift if groups == 8 else 0.0)
        fixture.write_done(path, one, round(error, 6))
    return path


def told(*folders: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = compare.main([str(one) for one in folders])
    return code, capsys.readouterr().out.strip().rpartition("\n")[2]


def test_the_three_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = folder(tmp_path / "ours")
    assert told(ours, ours, capsys=capsys) == (COMPATIBLE, "Compatible: the same runs with the same errors.")
    again = folder(tmp_path / "again", start=1)
    assert told(ours, again, capsys=capsys) == (COMPATIBLE, "Compatible: all 3 cells agree within 0.5 points.")
    other = folder(tmp_path / "other", 0.02, start=2)
    assert told(ours, other, capsys=capsys) == (DIFFERS, "Differs in 1 of 3 cells: 0.25x g=8.")
    rough = folder(tmp_path / "rough", sd=0.02, start=3)
    code, sentence = told(ours, rough, capsys=capsys)
    assert code == TOO_FEW and sentence.startswith("Too few runs to tell: no cell differs for certain, but 3 of 3 may")


def test_one_seed_on_each_side_tells_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = folder(tmp_path / "a", seeds=[0]), folder(tmp_path / "b", 0.2, seeds=[0], start=1)
    assert told(first, second, capsys=capsys)[0] == TOO_FEW


def test_a_committed_study_is_read_and_nothing_in_common_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = folder(tmp_path / "ours")
    study = tmp_path / "study"
    study.mkdir()
    rows = read(ours).drop(columns="protocol_id")
    rows.assign(error=rows["error"] / 100).to_csv(study / "runs.csv", index=False)
    (study / "study.json").write_text('{"protocol_id": "00"}')
    assert compare.main([str(study), str(ours)]) == COMPATIBLE
    assert "the protocols differ (00 and " in capsys.readouterr().out
    assert compare.main([str(ours), str(tmp_path)]) == NOTHING
    assert "has no finished run" in capsys.readouterr().err


def test_the_table_of_all_runs_in_a_results_folder_is_no_committed_study(tmp_path: Path) -> None:
    ours = folder(tmp_path / "ours")
    before = read(ours)
    tidy.tidy(frame.runs(ours)).to_csv(ours / "runs.csv", index=False)  # in percent
    pd.testing.assert_frame_equal(read(ours), before)


def kinds(path: Path, source: np.random.Generator) -> Path:
    """Three cells that groups, width and shuffle do not tell apart, 10 points of error from each other."""
    plain = fixture.run(3, 0.25)
    variants = [plain.variant, plain.variant.with_axes(se=True), Variant("resnet", Axes({"width": 0.25}))]
    for k, variant in enumerate(variants):
        for seed in range(3):
            error = 0.3 + 0.1 * k + source.normal(0, 0.001)
            fixture.write_done(path, replace(plain, variant=variant, seed=seed), round(error, 6))
    return path


def test_networks_without_groups_and_with_blocks_are_cells_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = np.random.default_rng(0)
    ours, theirs = kinds(tmp_path / "ours", source), kinds(tmp_path / "theirs", source)
    assert compare.main([str(ours), str(theirs)]) == COMPATIBLE
    text = capsys.readouterr().out
    assert "all 3 cells agree" in text and all(name in text for name in ("0.25x g=3 ", "0.25x g=3 SE", "ResNet 0.25x"))
    packed = tmp_path / "packed"  # its rows have no cell_id, and empty fields
    packed.mkdir()
    known = read(theirs)
    known.assign(error=known["error"] / 100).drop(columns=["cell", "cell_id"]).to_csv(packed / "runs.csv", index=False)
    (packed / "study.json").write_text('{"axes": ["se"]}')
    assert told(ours, packed, capsys=capsys) == (COMPATIBLE, "Compatible: all 3 cells agree within 0.5 points.")
    found = of_runs(read(packed), "a pack")
    assert found is not None and (found.cells, found.df) == (3, 6) and found.sd < 0.5


def test_a_network_of_ones_own_is_named_by_what_differs() -> None:
    cells = [Cell.of({"structure": "mine.net", "width": 0.5, "units": "4/8/4", "silu": silu}) for silu in (True, False)]
    side = pd.DataFrame({"cell": cells, "error": [30.0, 40.0]})
    assert [one.cell for one in differences(side, side, 0.5)] == ["mine.net 0.5x no silu", "mine.net 0.5x silu"]


def rows(means: list[float], seeds: int, source: np.random.Generator, width: float = 0.5) -> pd.DataFrame:
    cells = [shufflenet_cell(groups, width) for groups, _ in enumerate(means, start=1)]
    each = [(cell, source.normal(mean, 0.2)) for cell, mean in zip(cells, means, strict=True) for _ in range(seeds)]
    return pd.DataFrame({"cell": [cell for cell, _ in each], "error": [error for _, error in each]})


def rate(shift: float, code: int, seeds: int) -> float:
    """How often pairs of simulated folders of five cells, one of them shifted, get an answer."""
    source, found = np.random.default_rng(seeds), 0
    for _ in range(ROUNDS):
        pair = rows([40.0] * 5, seeds, source), rows([40.0] * 4 + [40.0 + shift], seeds, source)
        found += verdict(differences(*pair, 0.5), False, 0.5)[0] == code
    return found / ROUNDS


@pytest.mark.parametrize("seeds", [2, 4])
def test_neither_answer_is_wrong_more_often_than_nominal(seeds: int) -> None:
    assert rate(0.0, DIFFERS, seeds) <= LIMIT
    assert rate(0.5, COMPATIBLE, seeds) <= LIMIT
    assert rate(2.0, DIFFERS, seeds) > 0.95


def test_narrow_networks_that_spread_more_are_no_difference() -> None:
    """One spread pooled over widths of 0.2 and 1 points would be too small for the narrow one."""
    source, found = np.random.default_rng(0), 0
    for _ in range(ROUNDS):
        pair = []
        for _ in range(2):
            wide, narrow = (rows([40.0] * 5, 3, source, width) for width in (1.0, 0.25))
            narrow["error"] = 40 + 5 * (narrow["error"] - 40)
            pair.append(pd.concat([wide, narrow]))
        found += verdict(differences(pair[0], pair[1], 0.5), False, 0.5)[0] == DIFFERS
    assert found / ROUNDS <= LIMIT


def test_one_cell_and_one_point_are_said_as_such() -> None:
    pair = [rows([40.0], 4, np.random.default_rng(seed)) for seed in (0, 1)]
    assert verdict(differences(*pair, 1.0), False, 1.0)[1] == "Compatible: the one cell agrees within 1 point."
    far = rows([50.0], 4, np.random.default_rng(2))
    assert verdict(differences(pair[0], far, 1.0), False, 1.0)[1].startswith("Differs in 1 of 1 cell: ")
