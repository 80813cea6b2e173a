"""Names of protocols say what differs, and no two are equal."""

from dataclasses import replace
from typing import Any

from ablations.core.protocol_names import cell_names, protocol_names
from ablations.core.run_spec import Protocol, label, plain
from model.widths import stem_name
from tests import results_fixture as fixture
from tests.make import run


def names(*protocols: Protocol) -> list[str]:
    by_id: dict[str, Any] = {str(k): plain(protocol) for k, protocol in enumerate(protocols)}
    return list(protocol_names(by_id).values())


def recipe(**changes: Any) -> Protocol:
    return replace(fixture.PROTOCOL, recipe=replace(fixture.RECIPE, **changes))


def test_one_protocol_needs_no_name() -> None:
    assert names(fixture.PROTOCOL) == [""] and protocol_names({}) == {}


def test_what_differs_is_said() -> None:
    assert names(recipe(label_smoothing=0.0), recipe(label_smoothing=0.1)) == [
        "label smoothing 0",
        "label smoothing 0.1",
    ]
    both = names(recipe(lr=0.01, epochs=8, nesterov=True), recipe(lr=0.2, epochs=1, nesterov=False))
    assert both == ["8 epochs, lr 0.01, nesterov", "1 epoch, lr 0.2, no nesterov"]
    assert names(recipe(area=(0.08, 1.0)), recipe(area=(0.25, 1.0))) == ["area 0.08 to 1", "area 0.25 to 1"]
    assert names(fixture.PROTOCOL, replace(fixture.PROTOCOL, precision="bfloat16")) == ["float32", "bfloat16"]


def test_a_value_that_descriptions_leave_out_is_said() -> None:
    assert names(recipe(ghost_batches=1), recipe(ghost_batches=4)) == ["ghost batches 1", "ghost batches 4"]


def test_two_folders_of_equal_counts_are_told_apart_by_their_digest_and_others_are_not() -> None:
    one, other = (fixture.protocol(name="imagefolder", digest=digit * 16) for digit in "ab")
    assert names(one, other) == ["data aaaaaa", "data bbbbbb"]
    assert names(one, other, fixture.PROTOCOL) == ["imagefolder, data aaaaaa", "imagefolder, data bbbbbb", "glyphs"]
    more = fixture.protocol(name="imagefolder", digest="c" * 16, train_images=3000, classes=12)
    assert names(one, more) == ["2,000 training images", "3,000 training images"]


def test_protocols_of_other_maths_have_their_id() -> None:
    same = plain(fixture.PROTOCOL)
    assert protocol_names({"a": same, "b": same}) == {"a": "protocol a", "b": "protocol b"}


def test_a_stem_that_is_not_the_default_is_part_of_a_networks_name() -> None:
    assert label(fixture.run(8, 0.25).variant) == "g8 0.25x"
    assert label(fixture.run(8, 0.25, False, stem_channels=16).variant) == "g8 0.25x no shuffle stem 16"
    assert label(fixture.run(3, 0.5, structure="blog").variant) == "blog g3 0.5x"
    assert stem_name(5, 1.0, 24) == stem_name(3, 1e308, 24) == "stem 24", "what cannot be built has a name too"


def test_a_cell_is_named_by_its_network_and_by_what_its_protocol_alone_has():
    """A study of the recipe has several cells of one network."""
    smooth = [run(groups=3, recipe={"label_smoothing": value}) for value in (0.0, 0.1)]
    assert sorted(cell_names(smooth).values()) == ["g3 0.25x, label smoothing 0", "g3 0.25x, label smoothing 0.1"]
    assert [*cell_names([smooth[0], run(groups=3, seed=1, recipe={"label_smoothing": 0.0})]).values()] == ["g3 0.25x"]
