"""In which order runs are trained, and how their training times relate."""

from collections.abc import Iterable

from ablations.core.run_spec import Run
from model.family import Value
from model.widths import STEM_SHRINK


def priority(run: Run) -> tuple[int, float]:
    """What runs are trained in the order of.

    Seed 0 of every cell comes first, so that an interrupted sweep has a whole table; within a seed the costliest runs
    come first, so that no worker idles at the end behind a long one.
    """
    return run.seed, -relative_cost(run)


def relative_cost(run: Run) -> float:
    """Rough training time of a run in seconds on one CPU core: only ratios between runs are relied on.

    A part for each step and one for each image, which grows with the area that stage 2 sees, a little faster than the
    width and, since a network of more groups has more channels, with a root of the groups. Fitted to what the compiled
    kernels do on one core of an Intel Xeon (results/reference/bench-cpu/cells.csv, g=4 and g=8 at 1x left out: other
    work disturbed them). PyTorch's own operators take several times as long.
    """
    protocol, recipe = run.protocol, run.protocol.recipe
    area = (protocol.resolution / STEM_SHRINK.get(protocol.stem, 4)) ** 2
    steps = recipe.epochs * (protocol.data.train_images // recipe.batch_size)
    width, groups = (_number(run.variant.axes.get(axis)) for axis in ("width", "groups"))
    per_image = area / 1024 * (1.2e-3 * width + 1.7e-3 * width**2) * groups**0.31
    return float(steps * (0.002 + recipe.batch_size * per_image))


def _number(value: Value) -> float:
    """A value of an axis; 1 where a family has no such axis, or means something else by it."""
    return float(value) if isinstance(value, int | float) and value > 0 else 1.0


def seconds_per_cost(took: Iterable[tuple[Run, float]]) -> float:
    """What turns `relative_cost` into seconds here, from runs and how long they took; 1 where there are none."""
    pairs = [(seconds, relative_cost(run)) for run, seconds in took]
    return sum(seconds for seconds, _ in pairs) / sum(cost for _, cost in pairs) if pairs else 1.0
