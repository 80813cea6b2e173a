"""Names of cells."""

from analysis.runs.cell import network
from model.family import BUILT_IN, load


def test_tables_and_progress_lines_call_a_network_by_its_familys_name():
    names = {one: network(one) for one in BUILT_IN}
    assert names["shufflenet"] == "ShuffleNet" and names["resnext"] == "ResNeXt" and network("mine.net") == "mine.net"
    for one in ("vgg_like", "resnet", "resnext", "mobilenet"):
        assert load(one).label({"width": 0.5}) == f"{names[one]} 0.5x"
