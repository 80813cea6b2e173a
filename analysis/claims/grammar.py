"""From a test as claims.yaml writes it to contrasts: {groups: [2, 3], width: 0.5}, {from: cell, to: cell}, ..."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.runs.cell import Cell
from analysis.runs.study import Study, column
from analysis.stats.contrast import Contrast, gain
from model.family import BUILT_IN as STRUCTURES
from model.widths import TABLE_1

FIELDS = ("groups", "width", "shuffle", "structure")
"""Axes of the paper's cells, in the order that lists of values are multiplied out."""


class ClaimError(Exception):
    """What is wrong with a claim; `key` is where in its entry."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def contrasts(test: str, given: Any, values: dict[str, Any], study: Study) -> tuple[str, tuple[Contrast, ...]]:
    """Kind and contrasts of a test."""
    if test == "gain":
        return "contrast", (one_gain(test, given, values, study),)
    if test == "growth":
        if not isinstance(given, dict) or given.keys() != {"of", "over"}:
            raise ClaimError(test, "growth needs {of: gain, over: gain}")
        return "contrast", (one_gain(test, given["of"], values, study) - one_gain(test, given["over"], values, study),)
    if test in ("any", "every"):
        return test, gains(test, given, values, study)
    if test == "weights":
        if not isinstance(given, list) or not all(isinstance(term, dict) and "weight" in term for term in given):
            raise ClaimError(test, "weights needs a list of cells, each with a weight")
        terms = []
        for term in given:
            weight = term["weight"]
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ClaimError(test, f"weight {weight!r} is not a number")
            found = cells(test, {key: value for key, value in term.items() if key != "weight"}, values, study)
            terms += [(ref, float(weight) / len(found)) for ref in found]
        whole = Contrast(tuple(terms)) - Contrast(())
        if not whole.terms or abs(sum(weight for _, weight in whole.terms)) > 1e-9:
            raise ClaimError(test, "the weights must sum to 0 and not cancel: an effect is a difference of errors")
        return "contrast", (whole,)
    refs = cells(test, given, values, study)
    if len(refs) < 3:
        raise ClaimError(test, f"{test} needs three cells or more")
    if test == "trend":
        return "contrast", (_line_fall(refs),)
    printed = {ref: number.value for ref in refs if (number := study.paper(ref))}
    if len(printed) < len(refs) or len({*printed.values()}) < 2:
        raise ClaimError(test, "order needs cells that the paper has an error for (Table 2), and not one for all")
    pairs = [
        gain(a, b) if printed[a] > printed[b] else gain(b, a)
        for a, b in itertools.combinations(refs, 2)
        if printed[a] != printed[b]
    ]
    return "order", tuple(pairs)


def _line_fall(refs: tuple[Cell, ...]) -> Contrast:
    """Fall of the least-squares line through the cells, taken as equally far apart, from the first to the last."""
    centre = (len(refs) - 1) / 2
    scale = sum((k - centre) ** 2 for k in range(len(refs)))
    return Contrast(tuple((ref, (centre - k) * (len(refs) - 1) / scale) for k, ref in enumerate(refs) if k != centre))


def joint_effect(kind: str, effects: Sequence[float]) -> float:
    """The effect that a test is about, from those of its contrasts: the largest, the least, an order's tau, the one."""
    tau = sum((one > 0) - (one < 0) for one in effects) / len(effects)
    return {"any": max(effects), "every": min(effects), "order": tau}.get(kind, effects[0])


def fields(study: Study) -> tuple[str, ...]:
    """The axes that a claim of a study may name."""
    named = [axis for axis in (*study.axes, *study.defaults, "structure") if axis != "stem_channels"]
    return tuple(sorted(dict.fromkeys(named), key=lambda axis: FIELDS.index(axis) if axis in FIELDS else len(FIELDS)))


def named(key: str, given: dict[Any, Any], study: Study) -> dict[str, Any]:
    """Values by axis; a claim may write `label_smoothing` or `recipe.label_smoothing`, `se` or `model.se`."""
    found, known = {}, fields(study)
    for name, value in given.items():
        if column(name) == "stem_channels":
            continue  # a claim means the network with whatever stem it was run with
        fits = [axis for axis in known if column(name) in (axis, axis.rpartition(".")[2])]
        if not fits:
            raise ClaimError(key, f"{key}: {name} is not part of a cell; its parts are {', '.join(known)}")
        found[fits[0]] = value
    return found


def cells(key: str, given: Any, values: dict[str, Any], study: Study) -> tuple[Cell, ...]:
    """The cells of a mapping with single values or lists of them; `values` fill in what it leaves out."""
    if not isinstance(given, dict):
        raise ClaimError(key, f"{key}: a cell is a mapping such as {{groups: 3, width: 0.5}}, not {given!r}")
    said = named(key, given, study)
    given_too = {**named(key, values, study), **said}
    usual = study.defaults_of(given_too.get("structure"))
    whole = {**usual, **given_too}
    axes = [
        axis for axis in fields(study) if study.built_in or axis in given_too or (axis in study.axes and axis in usual)
    ]
    for axis in axes:
        if axis not in whole:
            raise ClaimError(key, f"{key}: the cell {given} has no {axis}; give it there or in `for`")
    lists = [whole[axis] if isinstance(whole[axis], list) else [whole[axis]] for axis in axes]
    combinations = (dict(zip(axes, values, strict=True)) for values in itertools.product(*lists))
    found = tuple(_paper_cell(key, **one) if study.built_in else _cell(key, one, study, usual) for one in combinations)
    if not found or len(set(found)) < len(found):
        raise ClaimError(key, f"{key}: {given} names {'no cell' if not found else 'a cell twice'}")
    return found


def gains(key: str, given: Any, values: dict[str, Any], study: Study) -> tuple[Contrast, ...]:
    """The gains of {from: cell, to: cell, each: {...}}, or of a list of these."""
    if isinstance(given, list) and given:
        return tuple(contrast for part in given for contrast in gains(key, part, values, study))
    if not isinstance(given, dict) or not {"from", "to"} <= given.keys() <= {"from", "to", "each"}:
        raise ClaimError(
            key, f"{key}: a gain is {{from: cell, to: cell}}, with each: {{field: values}} where it is several"
        )
    each = given.get("each", {})
    if not isinstance(each, dict):
        raise ClaimError(key, f"{key}: each takes {', '.join(fields(study))}, with a list of values each")
    lists = [value if isinstance(value, list) else [value] for value in each.values()]
    found = []
    for combination in itertools.product(*lists):
        both = {**values, **dict(zip(each, combination, strict=True))}
        for worse, better in itertools.product(
            cells(key, given["from"], both, study), cells(key, given["to"], both, study)
        ):
            if worse == better:
                raise ClaimError(
                    key, f"{key}: {worse.name} is compared with itself (with one group shuffle is the identity)"
                )
            found.append(gain(worse, better))
    if not found:
        raise ClaimError(key, f"{key}: names no gain")
    return tuple(found)


def one_gain(key: str, given: Any, values: dict[str, Any], study: Study) -> Contrast:
    """A single gain."""
    found = gains(key, given, values, study)
    if len(found) != 1:
        raise ClaimError(key, f"{key}: one gain is needed, this names {len(found)}; `any` and `every` take several")
    return found[0]


def _cell(key: str, values: dict[str, Any], study: Study, defaults: Mapping[str, Any]) -> Cell:
    """A checked cell of another study: values are of the kind of the default; what is said besides its axes is left out
    where it is the default."""
    for axis, value in values.items():
        usual = study.defaults.get(axis)
        if isinstance(value, list | dict) or (usual is not None and isinstance(value, bool) != isinstance(usual, bool)):
            raise ClaimError(key, f"{key}: {axis} {value!r} is no value like {usual!r}")
    return Cell.of({axis: value for axis, value in values.items() if axis in study.axes or value != defaults.get(axis)})


def _paper_cell(key: str, groups: Any, width: Any, shuffle: Any, structure: Any) -> Cell:
    """A checked cell; at one group shuffle counts as on, as everywhere."""
    if isinstance(groups, bool) or not isinstance(groups, int) or groups not in TABLE_1:
        raise ClaimError(key, f"{key}: groups {groups!r} cannot be built; choose of {', '.join(map(str, TABLE_1))}")
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < math.inf:
        raise ClaimError(key, f"{key}: width {width!r} must be a number above 0")
    if not isinstance(shuffle, bool):
        raise ClaimError(key, f"{key}: shuffle {shuffle!r} must be true or false")
    if not isinstance(structure, str) or structure not in STRUCTURES:
        raise ClaimError(key, f"{key}: structure {structure!r} is unknown; choose of {', '.join(STRUCTURES)}")
    return Cell.of({"groups": groups, "width": float(width), "shuffle": shuffle or groups == 1, "structure": structure})
