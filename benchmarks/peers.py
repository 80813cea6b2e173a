"""This harness beside the usual way to do its work: `python -m benchmarks.peers --data FOLDER`.

Everyone trains the groups study of the preset `cifar10` on the same images: 15 cells, one seed. Contestants take turns,
in an order that rotates, so that a machine that changes its speed does so for all. A turn is a command as a user types
it, timed from outside: start-up, evaluation, saving, and for ours tables and report are in it.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

from benchmarks import environment, roof, standings
from benchmarks.contest import CONTESTANTS, GROUPS, WIDTHS, Turn, Work, choose_images, composed, take_turn
from benchmarks.networks import build
from model import complexity


def compete(work: Work, contestants: list[str], repeats: int) -> list[Turn]:
    """Every contestant's turn, `repeats` times over."""
    taken = []
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(temporary) / "images.npz"
        choose_images(work, images)
        for repeat in range(repeats):
            for name in rotated(contestants, repeat):
                taken.append(take_turn(name, work, repeat, images, Path(temporary) / f"{repeat}-{name}"))
                print(f"repeat {repeat + 1}: {name} {taken[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    return taken


def rotated(names: list[str], by: int) -> list[str]:
    """The same names, starting with another."""
    return names[by % len(names) :] + names[: by % len(names)]


def costs(work: Work, contestants: list[str]) -> dict[tuple[str, int, float], int]:
    """Multiply-adds of an image's forward pass, by contestant, groups and width; by two counters that agree."""
    _, run = composed(work, work.groups[0], work.widths[0])
    data, side = run.protocol.data, run.protocol.resolution
    found: dict[tuple[str, int, float], int] = {}
    for name in contestants:
        for groups in work.groups:
            for width in work.widths:
                network = build(CONTESTANTS[name], groups, width, data.classes, run.protocol.stem)
                found[name, groups, width] = complexity(network, (data.channels, side, side)).macs
    return found


def write(
    work: Work,
    taken: list[Turn],
    macs: dict[tuple[str, int, float], int],
    roofs: dict[str, roof.Roof],
    out: Path | None,
) -> str:
    """The report as Markdown; with its tables as CSV beside it, where a folder is given."""
    tables = {
        "commands": standings.commands(taken),
        "widths": standings.widths(taken),
        "cells": standings.cells(taken, macs, roof.ceiling(roofs)),
        "roof": roof.rows(roofs),
        "turns": standings.turns(taken),
    }
    per = "of one core" if work.device == "cpu" else "of the GPU"
    texts = {
        "commands": "Whole commands, from start to end: all that a user waits for. The ratio is the others' time "
        "divided by ours, within each repeat; medians over the repeats.",
        "widths": "The runs of each width alone, by what each contestant notes of a run; start-up and tables are not "
        "in it. Ours trains one run on each core: a run's seconds are divided by how many train at once.",
        "cells": f"Cells. Rates are {per}, of training steps. The roof is the matrix product {per} with all busy; "
        "training an image takes 3 x 2 x its multiply-adds.",
        "roof": "The roof, measured in the same call.",
        "turns": "Every command, in order.",
    }
    text = head(work) + "".join(f"\n{texts[name]}\n\n{standings.markdown(rows)}\n" for name, rows in tables.items())
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "README.md").write_text(text)
        for name, rows in tables.items():
            (out / f"{name}.csv").write_text(standings.comma_separated(rows))
    return text


def head(work: Work) -> str:
    """Where, when and by what command; what everyone trains, and who they are."""
    return (
        f"# Side by side\n\n{environment.line(work.device)}  \n`{environment.command('benchmarks.peers')}`\n\n"
        f"CIFAR-10, preset `cifar10`: {len(work.groups) * len(work.widths)} cells, one seed each; training images "
        f"{work.train_images:,}, epochs {work.epochs}, test images {work.test_images:,}.\n"
        "`reference`: the reference loop (benchmarks/reference_loop.py) with this project's network; `pytorchcv`: its "
        "ShuffleNet in that loop; `blog`: the blog's network in it; `ours`: `python -m ablations`, as `make "
        "ablation-groups` runs it.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Compete, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cifar-10-batches-py")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="the harness's prepared images")
    parser.add_argument("--out", type=Path, help="folder for README.md and CSV, say results/reference/bench-NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--contestants", type=lambda text: text.split(","), default=list(CONTESTANTS))
    parser.add_argument("--train-images", type=int, default=Work.train_images)
    parser.add_argument("--test-images", type=int, default=Work.test_images)
    parser.add_argument("--epochs", type=int, default=Work.epochs)
    parser.add_argument("--groups", type=lambda text: tuple(map(int, text.split(","))), default=GROUPS)
    parser.add_argument("--widths", type=lambda text: tuple(map(float, text.split(","))), default=WIDTHS)
    parser.add_argument(
        "--extra", nargs="*", default=[], help="overrides besides, for everyone (recipe.batch_size=512)"
    )
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.contestants) - set(CONTESTANTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(CONTESTANTS)}")
    if "pytorchcv" in chosen.contestants and importlib.util.find_spec("pytorchcv") is None:
        parser.error("pytorchcv is not installed: pip install -e '.[bench]', or --contestants reference,blog,ours")
    if not (chosen.data / "cifar-10-batches-py").is_dir():
        parser.error(
            f"there is no cifar-10-batches-py in {chosen.data}: say where CIFAR-10 lies with --data (DATA_DIR=)"
        )
    amounts = {name: getattr(chosen, name) for name in ("train_images", "test_images", "epochs", "device")}
    work = Work(
        chosen.data, chosen.cache, **amounts, groups=chosen.groups, widths=chosen.widths, extra=tuple(chosen.extra)
    )
    macs, roofs = costs(work, chosen.contestants), roof.measure(work.device)
    taken = compete(work, chosen.contestants, chosen.repeats)
    print(write(work, taken, macs, roofs, chosen.out))


if __name__ == "__main__":
    main()
