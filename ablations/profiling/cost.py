"""What a study will cost, before anyone pays: `python -m ablations.cost preset=imagenet ablation=groups,shuffle`.

Takes the overrides of a sweep. Needs neither ImageNet nor a GPU; --calibrate measures this machine's own speed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.markup import escape
from rich.table import Table

from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.make_variables import option
from ablations.core.protocol_names import cell_names
from ablations.core.text import counted
from ablations.profiling.cost_model import PlanCost, plan_cost, training_images, width
from ablations.sweep.hydra_app import compose_studies, error_in_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cost as tables; exit code 2 where the overrides are wrong."""
    parser = argparse.ArgumentParser(prog="python -m ablations.cost", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as for a sweep: preset=imagenet ablation=groups,shuffle seed=0,1")
    parser.add_argument("--config-dir", type=Path, help="folder of your own studies and networks, as for a sweep")
    parser.add_argument("--calibrate", action="store_true", help="train each network for some steps on this machine")
    parser.add_argument(
        "--sd", type=float, help="points between seeds to reckon power with, in place of those measured"
    )
    chosen = parser.parse_intermixed_args(arguments)
    try:
        if chosen.sd is not None and not chosen.sd > 0:
            raise UserError(f"{option('sd', chosen.sd)} must be a number above 0.")
        jobs, definitions = compose_studies(chosen.overrides, chosen.config_dir)
        results = Path(jobs[0].config.runtime.results_dir)
        show(plan_cost(jobs, results, chosen.calibrate, chosen.sd, definitions))
    except (UserError, HydraException, OmegaConfBaseException) as error:
        show_error(error if isinstance(error, UserError) else error_in_words(error))
        return 2
    return 0


def show(cost: PlanCost) -> None:
    """Print runs, networks, hours by device, disk and memory, and what other budgets would decide."""
    out = console()
    plan, cells = cost.plan, {job.run.cell_id: job.run for job in cost.plan.planned}
    protocol = plan.planned[0].run.protocol
    seen = training_images(plan.planned[0].run)
    there = f"{counted(len(plan.planned), 'run')} of {counted(len(cells), 'cell')}"
    if not plan.todo:
        out.print(f"There is nothing left to train: {there}, all done.")
        return
    out.print(
        f"{there}, {plan.done} done, {len(plan.todo)} to train: "
        f"{counted(protocol.recipe.epochs, 'epoch')} of {counted(protocol.data.train_images, 'image')} "
        f"({escape(protocol.data.name)}, {protocol.resolution} x {protocol.resolution}), "
        f"{counted(seen // protocol.recipe.batch_size, 'iteration')} a run."
    )
    out.print(f"Multiply-adds of what is left: {cost.macs:.3g} (an image in training costs three forward passes).\n")
    names = cell_names(cells.values())
    networks = Table("network", title="An image", title_justify="left")
    for head in ("multiply-adds", "parameters", "values put out"):
        networks.add_column(head, justify="right")
    for cell_id in sorted(cells, key=lambda one: (-width(cells[one]), names[one])):
        image = cost.images[cell_id]
        row = f"{image.macs / 1e6:.1f} M", f"{image.params / 1e6:.2f} M", f"{image.activations / 1e6:.1f} M"
        networks.add_row(escape(names[cell_id]), *row)
    out.print(networks)
    hours = Table("one device of", title="Training", title_justify="left")
    for head in ("hours", "a run", "on 64"):
        hours.add_column(head, justify="right")
    hours.add_column("speed from")
    for name, (total, source) in cost.hours.items():
        each = total / max(1, len(plan.todo))
        hours.add_row(escape(name), _hours(total), _hours(each), _hours(total / 64), escape(source))
    out.print(hours)
    out.print(
        "Assumed: a third of the bandwidth in the maker's data sheet, by which these networks are bound "
        "(ablations/profiling/cost_model.py); of a core, what the CPU kernels do on a Xeon. --calibrate measures "
        "this machine."
    )
    out.print(
        f"Cache: {cost.cache_bytes / 1e9:,.0f} GB on the disk, about {_hours(cost.cache_hours)} core-hours to build. "
        f"Memory: about {cost.memory_bytes / 1e9:,.1f} GB on a GPU for the largest network (bfloat16).\n"
    )
    others = Table("seeds", "widths", title="Other budgets", title_justify="left")
    for head in ("epochs", "runs", "cost", *(["claims decided", "least gain found"] if cost.spread else [])):
        others.add_column(head, justify="right")
    none = "not known" if cost.unknown else "no claim"
    for budget in cost.budgets:
        least = f"{budget.least:.2f} points" if budget.least is not None else "none"
        decided = f"{budget.decided:.1f} of {budget.claims}" if budget.claims else none
        widths = ", ".join(f"{width:g}x" for width in budget.widths)
        known = str(budget.seeds), widths, str(budget.epochs), str(budget.runs), f"{budget.share:.0%}"
        others.add_row(*known, *([decided, least] if cost.spread else []))
    out.print(others)
    if not cost.spread:
        config = plan.planned[0].config
        out.print(
            "What that would decide is not known: neither this folder nor a committed study says how far seeds' errors "
            f"spread on {escape(protocol.data.name)}. Run a pilot, two cells with three seeds, and ask again: make "
            f"pilot STUDY={escape(config.study)} PRESET={escape(config.preset)}. Or assume a spread: "
            f"{option('sd', 'POINTS')}."
        )
        return
    out.print(
        f"Claims decided: expected if the paper's effects are true and seeds' errors spread by {escape(cost.spread)}. "
        "Least gain: what one comparison finds with a chance of 80 %. With fewer epochs both may change: their rows "
        "only say what the same effects and the same spread would give."
    )
    if cost.unknown:
        out.print(f"Of {counted(cost.unknown, 'claim')} no effect is printed or stated: the chances are not known.")
    if cost.looks:
        one, first, most = cost.looks, cost.looks["plan"][0], cost.looks["plan"][-1]
        out.print(
            f"SEEDS={first}..{most} in place of SEEDS={most}: about {one['runs']:.0f} of "
            f"{counted(one['fixed'], 'run')}, and {one['decided']:.1f} claims decided, not {one['decided_fixed']:.1f} "
            f"(means of {one['rounds']} simulated studies with this spread and the paper's effects)."
        )


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"
