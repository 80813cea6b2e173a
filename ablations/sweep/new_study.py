"""`python -m ablations.sweep.new_study NAME --folder mine`: a study to start from, its claims, a family."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from ablations.core.command import command
from ablations.core.console import show_error
from ablations.core.errors import UserError
from ablations.core.files import encode_text, write
from ablations.core.paths import CONF

STUDY = """# @package _global_
# A study: python -m ablations -m --config-dir {folder} ablation={name}
study: {name}
title: {name}
family: {package}.{name}     # the network: {name}.py beside this folder; leave it out for the paper's own

# The grid: every combination of these values. Keys may be in model, recipe or data: recipe.label_smoothing: "0.0,0.1".
hydra:
  sweeper:
    params:
      model.width: "0.25,0.5"
      model.silu: "false,true"
# Grids that are no product: a list of cells in place of params, and cells to leave out.
# cells: [{{model.width: 0.25, model.silu: [false, true]}}, {{model.width: 0.5}}]
# exclude: [{{model.width: 0.5, model.silu: true}}]

table:
  title: {name}
  rows: [model.width]        # an axis, or several
  columns: [model.silu]
  gain: {{axis: model.silu, from: false, to: true}}
  pool: [model.width]        # cells of one value share a spread between seeds
claims: {name}_claims.yaml     # or the list itself
"""

CLAIMS = """# What the study should decide; see analysis/claims.yaml for all kinds of claims.
- id: silu-helps
  says: At {{width}}, SiLU takes error off.
  for: {{model.width: [0.25, 0.5]}}
  gain: {{from: {{model.silu: false}}, to: {{model.silu: true}}}}
  margin: 0.5     # percentage points; less counts as no effect
"""

FAMILY = '''"""A family of networks: ShuffleNet with one more axis. See model/family.py for what a family may define."""

from dataclasses import dataclass, field

from model.families import shufflenet
from model.families.shufflenet import canonical, resolve
from model.family import Input

__all__ = ["Axes", "build", "canonical", "resolve"]


@dataclass(frozen=True)
class Axes(shufflenet.Axes):
    """The axes: each has a type (bool, int, float or str) and a default."""

    silu: bool = field(default=False, metadata={{"help": "SiLU in place of ReLU"}})


def build(axes: Axes, given: Input):
    """The network; given: classes, channels, resolution, stem. Import torch here, so that planning stays quick."""
    from torch import nn

    net = shufflenet.build(axes, given)
    for stage in (net.stage2, net.stage3, net.stage4) if axes.silu else ():
        for unit in stage:
            unit.relu = nn.SiLU(inplace=True)
    return net
'''


def create(name: str, folder: Path) -> list[Path]:
    """Write the files of a new study; returns their paths.

    Raises:
        UserError: the name is none, or is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) or not re.fullmatch(r"[A-Za-z_]\w*", folder.resolve().name):
        raise UserError(f"{folder}/{name} cannot be imported: use lower-case letters, digits and _, a letter first.")
    if (CONF / "ablation" / f"{name}.yaml").exists():
        raise UserError(f"{name} is a study of this package; choose another name.")
    content = {
        folder / "ablation" / f"{name}.yaml": STUDY,
        folder / "ablation" / f"{name}_claims.yaml": CLAIMS,
        folder / f"{name}.py": FAMILY,
    }
    taken = next((path for path in content if path.exists()), None)
    if taken:
        raise UserError(f"{taken} is there already, and stays as it is; choose another name.")
    for path, text in content.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, encode_text(text.format(name=name, folder=folder, package=folder.resolve().name)))
    return list(content)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and say how to go on."""
    parser = argparse.ArgumentParser(prog="python -m ablations.sweep.new_study", description=__doc__)
    parser.add_argument("name", help="of the study")
    parser.add_argument("--folder", type=Path, default=Path("mine"), help="that --config-dir will name (mine)")
    chosen = parser.parse_args(arguments)
    try:
        for path in create(chosen.name, chosen.folder):
            print(path)
    except UserError as error:
        show_error(error)
        return 2
    print(f"Try it: make ablation STUDY={chosen.name} CONFIG_DIR={chosen.folder} PRESET=smoke")
    return 0


if __name__ == "__main__":
    main()
