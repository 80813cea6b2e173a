"""Measures inference time: `python -m ablations.latency --results FOLDER` writes FOLDER/latency.csv.

On one thread of this CPU, by PyTorch and by the compiled kernels where they fit, of every variant; on the input of the
study planned last and on the paper's; one image at a time and in batches.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ablations.core import files
from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.json_subprocess import run_module_json
from ablations.core.make_variables import option
from ablations.core.provenance import describe_host
from ablations.core.run_spec import Axes, Variant
from ablations.core.text import counted
from ablations.store.plans import read_plans
from ablations.store.writable import probe_folder
from model.family import Input, load

FILE = "latency.csv"
"""In the results folder."""

WIDTHS, GROUPS, UNSHUFFLED = (1.0, 0.5, 0.25), (1, 2, 3, 4, 8), (3, 8)
"""The paper's variants: Table 2's, and Table 3's groups without shuffle."""

BATCHES, INPUTS = (1, 64), ("study", "paper")

PAPER = "imagenet", Input()
WITHOUT_PLAN = "cifar10", Input(classes=10, channels=3, resolution=32, stem="stride1")
"""The study's input where nothing is planned yet, with its name."""

Row = dict[str, Any]


def variants(widths: Sequence[float], groups: Sequence[int], stem: str) -> list[Variant]:
    """Networks with shuffle, and those of Table 3 also without, each once.

    Raises:
        ValueError: a network cannot be built.
    """
    family = load("shufflenet")
    found = [
        Variant("shufflenet", Axes(family.settle({"groups": g, "width": width, "shuffle": shuffle}, Input(stem=stem))))
        for width in widths
        for g in groups
        for shuffle in ((True, False) if g in UNSHUFFLED else (True,))
    ]
    return list(dict.fromkeys(found))


def inputs(names: Sequence[str], results: Path) -> dict[Input, str]:
    """The input of the protocol planned last (or CIFAR-10's) and the paper's, each once, with their names."""
    plans, study = [plan for plan in read_plans(results) if plan.runs], WITHOUT_PLAN
    if plans:
        protocol = max(plans, key=lambda plan: str(plan.written)).protocol
        data = protocol.data
        study = data.name, Input(data.classes, data.channels, protocol.resolution, protocol.stem)
    known = {"study": study, "paper": PAPER}
    return {given: name for name, given in (known[one] for one in names)}


def measure(
    given: Mapping[Input, str],
    batches: Sequence[int],
    widths: Sequence[float],
    groups: Sequence[int],
    rounds: int,
    seconds: float,
) -> list[Row]:
    """Rows of latency.csv for every network, input, batch and engine; PyTorch's in its faster memory format.

    Args:
        given: inputs with their names.
        rounds: measurements of each network, at most, for each input and batch.
        seconds: time for all rounds of an input and a batch, about.
    """
    import torch  # takes seconds: not before the options are known to be right

    from ablations.profiling.latency_rows import choose_format, gain, rows
    from ablations.profiling.others import measure_others
    from model import build
    from model.timing import FORMATS, entries, settle_statistics
    from model.timing import measure as take

    out = console()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found: list[Row] = []
    beside: list[Row] = []  # MobileNet and AlexNet, in no comparison with one group
    for one, name in given.items():
        chosen = variants(widths, groups, one.stem)
        built = [build(v.structure, **v.axes, **one.keywords) for v in chosen]
        nets = [settle_statistics(net, one.channels, one.resolution) for net in built]
        for batch in batches:
            all_entries = entries(nets, torch.randn(batch, one.channels, one.resolution, one.resolution))
            times = take(all_entries, rounds, seconds)
            found += rows(name, one, batch, chosen, all_entries, times)
            size = f"{counted(len(chosen), 'network')}, {counted(times.shape[1], 'round')}"
            out.print(f"{escape(name)} {one.resolution}x{one.resolution}, batch {batch}: {size}.")
        if (name, one) == PAPER:
            beside += measure_others(name, one, rounds, seconds / 5)
    form = choose_format(found)
    out.print(
        f"PyTorch's memory format: {form}; the other takes {gain(found, form):.2f} times as long (geometric mean)."
    )
    host, measured = describe_host("cpu", 1), files.timestamp()
    versions = ", ".join(f"{name} {host['versions'][name]}" for name in ("python", "torch"))
    origin = {"threads": 1, "device": host["device"], "versions": versions, "measured": measured}
    mine = [row for row in found if row["memory_format"] == form or row["memory_format"] not in FORMATS]
    return [{**row, **origin} for row in (*mine, *beside)]


def show(found: Sequence[Row]) -> None:
    """Print a table for each input: networks by engine and batch, milliseconds and the ratio to one group."""
    out = console()
    for row in (row for row in found if row["structure"] != "shufflenet"):
        out.print(f"{row['structure']}: {row['median_ms']:.1f} ms (one image, {row['engine']}, {row['memory_format']})")
    found = [row for row in found if row["structure"] == "shufflenet"]
    for name in dict.fromkeys(_place(row) for row in found):
        mine = [row for row in found if _place(row) == name]
        ways = list(dict.fromkeys((row["engine"], row["batch"]) for row in mine))
        by_network: dict[tuple[float, int, bool], dict[tuple[str, int], Row]] = {}
        for row in mine:
            network = by_network.setdefault((row["width"], row["groups"], row["shuffle"]), {})
            network[row["engine"], row["batch"]] = row
        table = Table(title=f"{escape(name)}: ms a batch, and times one group's", title_justify="left", pad_edge=False)
        table.add_column("network", no_wrap=True)
        for engine, batch in ways:
            table.add_column("\n".join([*escape(engine).split(), f"batch {batch}"]), justify="right", no_wrap=True)
        for (width, groups, shuffle), cells in by_network.items():
            label = f"{width:g}x g={groups}" + ("" if shuffle else " no shuffle")
            table.add_row(label, *(_cell(cells.get(way)) for way in ways))
        out.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write RESULTS/latency.csv, show it, and say whether the cheaper count buys time; 2 for wrong options."""
    chosen = _options(arguments)
    try:
        for stem in ("imagenet", "stride1"):
            variants(chosen.widths, chosen.groups, stem)
        if not (chosen.rounds > 0 and chosen.seconds > 0 and min(chosen.batches) > 0):
            raise UserError(f"{', '.join(map(option, ('rounds', 'seconds', 'batches')))} must be above 0.")
        chosen.results.mkdir(parents=True, exist_ok=True)
        probe_folder(chosen.results)  # now rather than after minutes of measuring
        given = inputs(chosen.inputs, chosen.results)
        found = measure(given, chosen.batches, chosen.widths, chosen.groups, chosen.rounds, chosen.seconds)
        from ablations.profiling.latency_rows import to_csv

        path = chosen.results / FILE
        files.write(path, to_csv(found))
    except (UserError, ValueError) as error:
        show_error(error)
        return 2
    except OSError as error:
        show_error(f"{chosen.results / FILE} cannot be written ({error.strerror}).")
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    show(found)
    out = console()
    for sentence in run_module_json("analysis.latency.sentences", str(chosen.results.resolve())):
        out.print(escape(sentence))
    out.print(f"Written to {escape(str(path))}; `make report` shows it as figure and table.")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ablations.latency", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that latency.csv is written to")
    parser.add_argument("--widths", type=float, nargs="+", default=WIDTHS, help="of the networks (1 0.5 0.25)")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUPS, help="of the networks (1 2 3 4 8)")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="images at a time (1 64)")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=INPUTS, help="planned last, the paper's (both)")
    parser.add_argument("--rounds", type=int, default=101, help="at most, on each input and batch (101)")
    parser.add_argument("--seconds", type=float, default=50, help="about so long on each input and batch (50)")
    return parser.parse_args(arguments)


def _place(row: Row) -> str:
    return f"{row['input']} {row['resolution']}x{row['resolution']}"


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row['median_ms']:.2f}" + ("" if row["ratio"] is None else f"  {row['ratio']:.2f}")
