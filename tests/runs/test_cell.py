"""Names of cells."""

import pytest

from analysis.runs import frame
from analysis.runs.cell import AXES, network
from analysis.studies import cells, gains
from model.family import BUILT_IN, RESERVED, label, load


def test_tables_and_progress_lines_call_a_network_by_its_familys_name():
    names = {one: network(one) for one in BUILT_IN}
    assert names["shufflenet"] == "ShuffleNet" and names["resnext"] == "ResNeXt" and network("mine.net") == "mine.net"
    for one in ("vgg_like", "resnet", "resnext", "mobilenet"):
        assert label(one, {"width": 0.5}) == f"{names[one]} 0.5x"


def test_no_axis_has_the_name_of_another_column_of_the_tables(tmp_path):
    """Images have channels; a family whose axis is called so would have one row for all its networks."""
    assert {*frame.COLUMNS, *cells.COLUMNS, *gains.COLUMNS} - {*AXES[1:], "se"} <= RESERVED
    assert not any(RESERVED & {*load(one).axes} for one in BUILT_IN)
    mine = tmp_path / "hidden_axis"
    mine.mkdir()
    (mine / "net.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Axes:\n    channels: int = 8\n\n"
        "def build(axes, given): ...\n"
    )
    with pytest.raises(LookupError, match=r"The axis channels in .* needs another name"):
        load("hidden_axis.net", [mine])
