"""What a study costs: counted as the paper counts, without the data, and power as statistics' own formula gives it."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablations.core.errors import UserError
from ablations.profiling import cost_model
from ablations.profiling.cost import show
from ablations.profiling.cost_model import DEVICES, ImageCost, plan_cost, seconds_per_image
from ablations.store.plans import PlannedRun, contents, parse_plan
from ablations.sweep.hydra_app import compose, compose_studies
from ablations.sweep.plan import planned_runs
from analysis.claims.budget import answer, expected, main, scattered
from analysis.claims.parser import read_claims
from model import ShuffleNetV1, complexity
from tests.results_fixture import write_done
from tests.sweeps import ROOT, execute

PAPER = ["preset=imagenet", "ablation=groups,shuffle"]


@pytest.fixture(scope="module")
def jobs():
    return compose(PAPER)


@pytest.fixture(scope="module")
def found(jobs, tmp_path_factory):
    """The cost of the paper's two studies, on a machine without ImageNet."""
    return plan_cost(jobs, tmp_path_factory.mktemp("results"), sd=0.2, definitions=compose_studies(PAPER)[1])


def network(found, **what):
    """The cost of an image of the one cell with such a variant."""
    cells = {job.run.cell_id: job.run.variant for job in found.plan.planned}
    (cell,) = [c for c, v in cells.items() if all(v.axes[key] == value for key, value in what.items())]
    return found.images[cell]


def test_two_studies_share_their_cells(jobs, found):
    assert len(jobs) == (15 + 12) * 3 and len(found.plan.planned) == len(found.plan.todo) == 63
    assert len(found.images) == 21
    assert compose(["preset=imagenet", "ablation=groups", "seed=0"])[0].run.run_id in {j.run.run_id for j in jobs}


def test_the_recipe_is_the_papers(jobs):
    run = jobs[0].run
    recipe = run.protocol.recipe
    assert (recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.warmup_epochs) == (1024, 0.5, 4e-5, 0)
    assert (run.protocol.resolution, run.protocol.data.cache_resolution) == (224, 256)
    iterations = cost_model.training_images(run) // 1024
    assert iterations == 240 * 1251 and abs(iterations / 3e5 - 1) < 0.001, "3e5, to the nearest whole epoch"


@pytest.mark.parametrize(("groups", "width"), [(1, 1.0), (8, 0.25)])
def test_multiply_adds_are_those_of_the_network(found, groups, width):
    one = network(found, groups=groups, width=width, shuffle=True)
    expected = complexity(ShuffleNetV1(groups=groups, width=width), (3, 224, 224))
    assert (one.macs, one.params) == (expected.macs, expected.params)


def test_the_total_is_the_sum_over_runs(found):
    by_hand = sum(
        3 * 240 * 1251 * 1024 * found.images[job.run.cell_id].macs + 50_000 * found.images[job.run.cell_id].macs
        for job in found.plan.planned
    )
    assert found.macs == by_hand and 3.6e18 < found.macs < 3.8e18


def test_hours_follow_the_data_sheet_and_say_so(found):
    gpu = DEVICES[1]
    seconds = sum(
        240 * 1251 * 1024 * seconds_per_image(one, gpu)
        for one in (found.images[job.run.cell_id] for job in found.plan.todo)
    )
    assert found.hours[gpu.name][0] == pytest.approx(seconds / 3600)
    assert all("assumed" in source for _, source in found.hours.values())
    assert found.hours["NVIDIA V100"][0] > found.hours["NVIDIA H200"][0] > 0


def test_disk_and_memory(found):
    assert found.cache_bytes == int(1_281_167 * 256 * 256 * 3 * 1.36 + 50_000 * 256 * 256 * 3)
    largest = network(found, groups=8, width=1.0, shuffle=True)
    assert found.memory_bytes == 1024 * (largest.activations * 2 + 224 * 224 * 3 * 8) + largest.params * 12


def test_activations_are_counted():
    """A network whose layers can be counted by hand: 3x3 convolution to 2 channels of 4 x 4, and a sum over all."""
    from torch import nn

    from ablations.profiling.measure_networks import count_activations

    small = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    assert count_activations(small, (3, 4, 4)) == 32 + 32 + 32 + 5


def test_runs_that_are_done_cost_nothing(tmp_path, monkeypatch, capsys):
    images = lambda cells, *_: (dict.fromkeys(cells, ImageCost(100, 10, 1000)), None)  # noqa: E731
    monkeypatch.setattr(cost_model, "measure_networks", images)
    monkeypatch.setattr(cost_model, "budgets", lambda *what: ("", (), None, 0))
    jobs = compose(["preset=smoke", "ablation=single", "model.groups=1,2", "model.width=0.25"])
    before = plan_cost(jobs, tmp_path)
    write_done(tmp_path, jobs[0].run, 0.5)
    after = plan_cost(jobs, tmp_path)
    assert after.plan.done == 1 and after.macs == 100 * (3 * 128 + 64) and before.macs == 2 * after.macs
    assert after.hours["CPU core"] < before.hours["CPU core"]
    write_done(tmp_path, jobs[1].run, 0.5)
    show(plan_cost(jobs, tmp_path))
    assert capsys.readouterr().out == "There is nothing left to train: 2 runs of 2 cells, all done.\n"


def test_without_a_spread_it_offers_a_pilot(jobs, tmp_path, monkeypatch, capsys):
    images = lambda cells, *_: (dict.fromkeys(cells, ImageCost(100, 10, 1000)), None)  # noqa: E731
    monkeypatch.setattr(cost_model, "measure_networks", images)
    show(plan_cost(jobs, tmp_path))
    said = " ".join(capsys.readouterr().out.split())
    assert "make pilot STUDY=groups PRESET=imagenet" in said and "claims decided" not in said.lower()


def test_a_plan_of_looks_is_set_beside_all_seeds_at_once(found, capsys):
    assert found.looks and found.looks["plan"] == [2, 3] and found.looks["fixed"] == 63 > found.looks["runs"] > 42
    show(found)
    said = " ".join(capsys.readouterr().out.split())
    assert "SEEDS=2..3 in place of SEEDS=3: about" in said and "of 63 runs" in said


def test_budgets_in_proportion(found):
    planned, *others = found.budgets
    assert (planned.seeds, planned.epochs, planned.runs, planned.share) == (3, 240, 63, 1.0)
    assert planned.claims == len(read_claims()) and planned.decided > 20
    by = {(one.seeds, one.widths, one.epochs): one for one in others}
    every = planned.widths
    assert by[2, every, 240].share == pytest.approx(2 / 3) and by[3, every, 60].share == pytest.approx(1 / 4)
    assert by[1, every, 240].decided == 0 and by[1, every, 240].least is None
    narrow = by[3, (0.5, 0.25), 240]
    assert narrow.runs == 42 and narrow.claims < planned.claims and 0.2 < narrow.share < 0.35
    assert by[5, every, 240].least < planned.least < by[2, every, 240].least


def test_the_least_gain_is_that_of_the_t_test(jobs):
    """One comparison of two cells, of seven of a width; the level is shared by Holm's strictest rule."""
    planned = contents(PlannedRun(job.config.study, job.config.preset, job.run) for job in jobs)
    studies = expected(filter(None, map(parse_plan, planned)))
    claims = read_claims()
    gain = next(c for c in claims if c.kind == "contrast" and len(c.refs) == 2 and c.direction == "positive")
    rivals = sum(claim.study == gain.study for claim in claims)
    for seeds, sd in ((2, 0.2), (3, 0.2), (3, 0.4), (5, 0.2)):
        df = 7 * (seeds - 1)
        critical = stats.t.isf(0.05 / 2 / rivals, df)
        least = answer(studies, seeds, {1.0: sd})["least"]
        chance = stats.nct.sf(critical, df, least / (sd * math.sqrt(2 / seeds)))
        assert chance == pytest.approx(0.8, abs=0.02), (seeds, sd)


def test_a_studys_own_claims_count():
    """They stand in a file beside the study's; Table 4 prints errors of all but three cells."""
    jobs, definitions = compose_studies(["preset=smoke", "ablation=structures", "seed=0,1,2"])
    plans = contents(planned_runs(jobs, definitions), definitions)
    question = {"plans": json.loads(json.dumps(list(plans))), "plan": [2, 3], "sd": 0.3}
    question["options"] = [{"seeds": 3, "widths": widths} for widths in ([1.0, 0.5, 0.25], [0.25])]
    found = main(question)
    claims = len(definitions["structures"]["claims"])
    assert found["options"][0]["claims"] + found["unknown"] == claims > found["options"][1]["claims"] > 0
    assert found["options"][0]["decided"] > 5 and found["plan"]["fixed"] == 15 * 3 and found["options"][0]["least"] < 3


def test_of_claims_without_a_printed_effect_the_least_gain_is_known():
    jobs, definitions = compose_studies(["preset=smoke", "ablation=se", "seed=0,1,2"], ROOT / "examples" / "se")
    plans = contents(planned_runs(jobs, definitions), definitions)
    question = {"plans": json.loads(json.dumps(list(plans))), "plan": None, "sd": 0.3}
    found = main({**question, "options": [{"seeds": 3, "widths": [0.5, 0.25]}]})
    (one,) = found["options"]
    assert (one["claims"], one["decided"], found["unknown"]) == (0, 0, 2) and 0.3 < one["least"] < 3
    for claim in question["plans"][0]["definition"]["claims"]:
        claim["paper"] = 2.5  # what their author expects
    stated = main({**question, "options": [{"seeds": 3, "widths": [0.5, 0.25]}, {"seeds": 3, "widths": [0.5]}]})
    two, half = stated["options"]
    assert (two["claims"], half["claims"], stated["unknown"]) == (2, 1, 0) and 0.5 < two["decided"] <= 2


def test_scattered_errors_have_the_spread_that_is_asked_for():
    for seeds in (2, 3, 5):
        values = list(scattered(40.0, 0.3, seeds).values())
        assert np.mean(values) == pytest.approx(40) and np.std(values, ddof=1) == pytest.approx(0.3)


def test_a_network_that_cannot_be_built_here_is_a_sentence(jobs, tmp_path, monkeypatch):
    def fail(module, question, failed):
        raise UserError(f"{failed}: no memory")

    monkeypatch.setattr(cost_model, "run_module_json", fail)
    with pytest.raises(UserError, match="cannot be measured on this machine: no memory"):
        plan_cost(jobs, tmp_path)


def test_the_tables_say_it(found, capsys):
    show(found)
    said = capsys.readouterr().out
    for text in ("63 runs of 21 cells, 0 done, 63 to train", "300,240 iterations", "g3 0.25x no shuffle", "143.1 M"):
        assert text in said
    assert "NVIDIA H100" in said and "assumed" in said and "352 GB" in said and "21.0 of 22" in said


def test_claims_of_which_nothing_can_be_expected_are_said_to_be(found, capsys):
    show(replace(found, unknown=2, budgets=tuple(replace(one, claims=0) for one in found.budgets)))
    said = " ".join(capsys.readouterr().out.split())
    assert "not known" in said and "no claim" not in said and "Of 2 claims no effect is printed or stated" in said


def test_measured_here_and_on_the_command_line(tmp_path):
    """A small study, calibrated by training it; and planning for it does not load torch or pandas."""
    overrides = ["preset=smoke", "model.groups=3", "model.width=0.25", "seed=0,1,2", f"runtime.results_dir={tmp_path}"]
    here = ["--calibrate", "--sd=0.2", "runtime.device=cpu", "runtime.fuse=2"]
    command = [sys.executable, "-m", "ablations.cost", *overrides, *here]
    done = execute(command)
    assert done.returncode == 0, done.stderr
    assert "CPU core here" in done.stdout and "no claim" in done.stdout
    assert "measured here, 2 seeds of a cell fused" in done.stdout
    wrong = execute([*command[:3], "preset=imagenet", "recipe.lr=fast"])
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ") and "Traceback" not in wrong.stderr
    code = (
        "import sys, json; from ablations.sweep.hydra_app import compose;"
        "jobs = compose(['preset=imagenet', 'ablation=groups']);"
        "print(json.dumps([len(jobs), sorted({'torch', 'pandas'} & set(sys.modules))]))"
    )
    asked = execute([sys.executable, "-c", code])
    assert json.loads(asked.stdout) == [45, []]
