"""`make counts`: measures what the networks of all presets and of the paper's tables cost, for model/counts.json.

Needed after a change of a file in model/; until then those costs are measured in every results folder.
"""

from ablations.core.errors import UserError
from ablations.core.paths import CONF, ROOT
from ablations.sweep.hydra_app import compose
from analysis import paper
from analysis.runs.cell import Cell
from analysis.runs.files import write_json
from analysis.runs.macs import COUNTED, Subject, _measure, at_224, networks_digest, subject
from model.widths import resolve_stem


def subjects() -> list[Subject]:
    """Networks with their inputs: as presets train them, and as the paper prints their complexity."""
    cells = [("shufflenet", g, width) for width in (*paper.WIDTHS, 1.5, 2.0) for g in paper.GROUPS]
    cells += [("blog", g, 1.0) for g in paper.GROUPS]
    found = []
    for name, g, width in cells:
        axes = {"width": width, "groups": g, "stem_channels": resolve_stem(g, width, "imagenet", None)}
        found.append(at_224(Cell.of({"structure": name, **axes})))
    for preset in sorted(path.stem for path in (CONF / "preset").glob("*.yaml")):
        try:
            jobs = compose(["ablation=groups,shuffle,structures,mobilenet", f"preset={preset}"])
        except UserError:
            continue  # its classes are known when the user's folder is
        for run in (job.run for job in jobs):
            protocol, data = run.protocol, run.protocol.data
            cell = Cell.of({"structure": run.variant.structure, **run.variant.axes})
            found.append(subject(cell, protocol.stem, data.channels, protocol.resolution, data.classes))
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    wanted = subjects()
    costs = dict(sorted(zip((one.name for one in wanted), _measure(wanted), strict=True)))
    write_json(COUNTED, {"networks": networks_digest(), "costs": costs})
    print(f"{len(costs)} networks in {COUNTED.relative_to(ROOT)}.")
