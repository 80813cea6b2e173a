"""A study's file: grids that are no product, and the definition that its plan keeps."""

import json
import sys

import pytest

from ablations.core.errors import UserError
from ablations.core.run_spec import label
from ablations.store.plans import read_plans, write_plans
from ablations.sweep import hydra_app
from ablations.sweep.compose import Composer
from ablations.sweep.plan import planned_runs
from model.family import BUILT_IN, load
from tests.sweeps import execute

SMOKE = ("preset=smoke", "seed=0")


def cells(*overrides):
    return [label(job.run.variant) for job in hydra_app.compose([*overrides, *SMOKE])]


@pytest.mark.parametrize("part", ["model.width=0.25", "model=blog", "cells=[{model.groups: 3, model.width: 1.0}]"])
def test_the_cells_of_a_file_are_known_whatever_is_asked_for(part, monkeypatch):
    known = {}

    def also_whole(self, arguments):
        jobs = composed(self, arguments)
        known["whole"] = [label(job.run.variant) for job in self.whole()]
        return jobs

    composed = Composer.jobs
    monkeypatch.setattr(Composer, "jobs", also_whole)
    wanted = [f"g{g} {width}x" for g in (1, 2, 3, 4, 8) for width in ("0.25", "0.5", "1")]
    assert set(cells("ablation=groups", part)) != set(wanted) == set(known["whole"]), known
    assert len(known["whole"]) == 15


def test_a_part_of_the_families_of_a_study_leaves_its_definition_whole():
    part = "exclude=[{model.structure: shufflenet}]"
    _, definitions = hydra_app.compose_studies(["ablation=mobilenet", part, *SMOKE])
    assert [*definitions["mobilenet"]["families"]] == ["mobilenet", "shufflenet"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_file_of_a_family_has_its_axes_and_their_defaults(name):
    (job,) = hydra_app.compose([f"model={name}", "preset=smoke", "seed=0"])
    given = {key: value for key, value in job.config.model.items() if key not in ("structure", "stem")}
    assert given == load(name).defaults and job.run.variant.structure == name


def test_families_are_imported_without_torch():
    code = (
        "import sys; from model.family import BUILT_IN, Input, load;"
        "[load(name).settle({}, Input()) for name in BUILT_IN]; sys.exit('torch' in sys.modules)"
    )
    assert execute([sys.executable, "-c", code]).returncode == 0


def test_cells_are_those_that_are_listed():
    found = cells("cells=[{model.groups: 1, model.width: [0.5, 0.25]}, {model.units: 2/4/2}]")
    assert found == ["g1 0.5x", "g1 0.25x", "g3 1x 2/4/2 units"]


def test_a_cell_of_another_family_has_that_familys_axes():
    assert cells("cells=[{model.structure: resnet, model.width: 0.5}, {model.structure: shufflenet}]") == [
        "ResNet 0.5x",
        "g3 1x",
    ]


def test_what_is_excluded_need_not_be_buildable():
    assert cells("model.groups=1,5", "model.width=0.5", "exclude=[{model.groups: 5}]") == ["g1 0.5x"]


def test_exclude_tells_true_from_one():
    assert len(cells("model.groups=1,3", "exclude=[{model.groups: true}]")) == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("exclude=[{model.groups: 3}]", "leaves no cell"),
        ("cells=[{runtime.threads: 3}]", "cells: runtime.threads is no axis"),
        ("cells=[3]", "cells must be a list of cells"),
        ("cells=[{model.width: []}]", "cells name no cell"),
        ("cells=[{model.groups: 5}]", "model.groups=5 cannot be built: Table 1 of the paper gives channels for"),
        ("cells=[{model.depth: 3}]", "model.depth is no axis of shufflenet"),
        ("table={rows: [model.depth]}", "table.rows of the study single names model.depth, which is no axis of it"),
        ("claims=nowhere.yaml", "claims: nowhere.yaml is not there"),
    ],
)
def test_what_makes_no_study_is_a_sentence(override, said):
    with pytest.raises((UserError, Exception), match=said.replace(".", r"\.")):
        hydra_app.compose([override, *SMOKE])


@pytest.mark.parametrize(("name", "count"), [("structures", 15), ("mobilenet", 10)])
def test_tables_4_and_5_are_studies(name, count):
    jobs, definitions = hydra_app.compose_studies([f"ablation={name}", *SMOKE])
    found = definitions[name]
    assert len({job.run.cell_id for job in jobs}) == count
    assert found["axes"][0] == "model.structure" and json.loads(json.dumps(found)) == found
    described = [{f"model.{axis}": value for axis, value in job.run.variant.flat().items()} for job in jobs]
    for entry in found["published"]:
        same = [one for one in described if all(one.get(key, False) == v for key, v in entry["cell"].items())]
        assert same, entry["cell"]
    assert {entry["table"] for entry in found["published"]} == {"Table 4" if name == "structures" else "Table 5"}


def planned(tmp_path, *overrides):
    jobs, definitions = hydra_app.compose_studies([*overrides, *SMOKE])
    write_plans(planned_runs(jobs, definitions), tmp_path, "command", definitions)
    return jobs, read_plans(tmp_path)


def test_axes_of_the_network_leave_a_plan_as_it_was(tmp_path):
    jobs, (plan,) = planned(tmp_path, "ablation=shuffle", "model.width=0.25")
    assert plan.scope_id is None and plan.file_name == f"shuffle-{jobs[0].run.protocol_id}.json"
    assert [run for _, run in plan.described()] == [job.run for job in jobs]
    assert plan.definition["axes"] == ["model.groups", "model.width", "model.shuffle"]
    assert plan.definition["defaults"]["model.groups"] == 3 and plan.definition["defaults"]["model.se"] is False


def test_cells_that_differ_in_the_recipe_are_one_plan(tmp_path):
    smoothing = "cells=[{recipe.label_smoothing: [0.0, 0.1]}]"
    jobs, (plan,) = planned(tmp_path, smoothing)
    assert len(jobs) == 2 and plan.scope_id and plan.file_name == f"single-{plan.scope_id}.json"
    assert len(plan.protocols) == 2 and [run for _, run in plan.described()] == [job.run for job in jobs]
    assert [entry.axes for entry in plan.runs] == [{"recipe.label_smoothing": 0.0}, {"recipe.label_smoothing": 0.1}]
    assert plan.definition["defaults"]["recipe.label_smoothing"] == jobs[0].config.recipe.label_smoothing
    _, plans = planned(tmp_path, smoothing, "recipe.lr=0.01")
    assert len({one.scope_id for one in plans}) == 2, "what is no axis is scope"


def test_a_recipe_swept_by_the_command_line_alone_is_two_protocols(tmp_path):
    _, plans = planned(tmp_path, "recipe.label_smoothing=0.0,0.1")
    assert [plan.scope_id for plan in plans] == [None, None]
