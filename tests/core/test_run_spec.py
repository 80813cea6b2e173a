"""Identity of a run: blind to what cannot change a result, sensitive to everything that can."""

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.core.run_spec import Axes, Variant, from_json, label, to_json, variant_from
from tests.make import run, shufflenet

RUN = run(groups=3, seed=1)


def changed(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return tuple(v / 2 for v in value)
    return value + 1


@pytest.mark.parametrize("name", ["structure", *RUN.variant.axes])
def test_each_part_of_the_variant_changes_run_and_cell_but_not_protocol(name):
    flat = RUN.variant.flat()
    other = replace(RUN, variant=variant_from({**flat, name: changed(flat[name])}))
    assert other.run_id != RUN.run_id and other.cell_id != RUN.cell_id
    assert other.protocol_id == RUN.protocol_id


@pytest.mark.parametrize("part", ["", "data", "recipe"])
def test_each_part_of_the_protocol_changes_everything(part):
    holder = getattr(RUN.protocol, part) if part else RUN.protocol
    for field in fields(holder):
        value = getattr(holder, field.name)
        if field.name in ("data", "recipe"):
            continue
        new = replace(holder, **{field.name: changed(value)})
        protocol = replace(RUN.protocol, **{part: new}) if part else new
        other = replace(RUN, protocol=protocol)
        assert {other.run_id, other.cell_id, other.protocol_id}.isdisjoint({RUN.run_id, RUN.cell_id, RUN.protocol_id})


def test_the_seed_changes_the_run_alone():
    other = replace(RUN, seed=2)
    assert other.run_id != RUN.run_id and other.cell_id == RUN.cell_id


@given(
    groups=st.sampled_from([1, 2, 3, 4, 8]),
    width=st.sampled_from([0.25, 0.5, 1.0]),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_description_survives_json_and_keeps_its_identity(groups, width, shuffle, seed):
    one = run(groups=groups, width=width, shuffle=shuffle, seed=seed)
    text = json.loads(json.dumps(to_json(one)))
    assert from_json(text) == one
    assert from_json(text).run_id == one.run_id == text["run_id"]
    assert len(one.run_id) == 16 and set(one.run_id) <= set("0123456789abcdef")


def test_identity_of_a_stored_run_never_drifts():
    """Results on users' disks are found by this value: it may change only together with NUMERICS or SCHEMA."""
    assert RUN.run_id == "4a456625bd77a9df"


def test_a_key_that_came_later_is_told_only_where_it_says_something():
    assert "ghost_batches" not in to_json(RUN)["protocol"]["recipe"]
    four = run(groups=3, seed=1, recipe={"ghost_batches": 4})
    assert to_json(four)["protocol"]["recipe"]["ghost_batches"] == 4 and from_json(to_json(four)) == four
    assert len({one.run_id for one in (RUN, four)}) == len({one.protocol_id for one in (RUN, four)}) == 2


def test_labels():
    assert label(shufflenet(3, 0.5, True, 12)) == "g3 0.5x"
    assert label(shufflenet(8, 1.0, False, 24)) == "g8 1x no shuffle"
    assert label(shufflenet(8, 0.25, True, 8, "blog")) == "blog g8 0.25x"
    own = {"groups": 3, "width": 0.5, "shuffle": True, "stem_channels": 12, "se": False, "units": "4/8/4"}
    assert label(Variant("mine.net", Axes({**own, "silu": True}))) == "mine.net g3 0.5x silu=true"
    assert label(Variant("mine.net", Axes({"width": 0.5, "silu": False}))) == "mine.net width=0.5 silu=false"
    assert label(Variant("mine.net", Axes({**own, "width": "wide"}))).startswith("mine.net groups=3 width=wide")
