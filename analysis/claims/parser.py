"""Claims as data: reads claims.yaml, checks every entry and names the line of what is wrong."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ablations.core.errors import UserError
from ablations.core.text import are, nearest, one_line
from analysis.claims.grammar import ClaimError, contrasts, fields, joint_effect, named
from analysis.claims.verdict import ERROR, METRICS, SEEDS_ALONE, SEEDS_AND_IMAGES, TAU
from analysis.runs.cell import Cell, place
from analysis.runs.study import BUILT_IN, Study, words
from analysis.runs.study import study as study_of
from analysis.stats.contrast import Contrast

CLAIMS = Path(__file__).resolve().parent.parent / "claims.yaml"

POSITIVE, NOT_POSITIVE = "positive", "not_positive"
TESTS = ("gain", "growth", "trend", "any", "every", "order", "weights")
NEEDED = ("id", "study", "source", "says", "margin", "paper")
CHOICES = {
    "direction": (POSITIVE, NOT_POSITIVE),
    "metric": tuple(METRICS),
    "over": (SEEDS_ALONE, SEEDS_AND_IMAGES),
}
"""Keys that take one of few words; the first is the default."""

KEYS = (*NEEDED, "for", *CHOICES, *TESTS)
SAME_IMAGES = ("resolution", "train_images")
"""Axes in data that leave the test images which they are."""

PRINTED = "printed"
"""Effect that follows from the printed errors, where a claim of a study of the user's does not state it."""
SLACK = 0.051
"""How far a stated paper effect may lie from the contrast of the printed numbers: they have one decimal."""


@dataclass(frozen=True)
class Claim:
    """One claim about cells.

    Attributes:
        kind: contrast (one weighted sum of errors), any or every (of several gains), order (of pairs of cells, each
            so that the paper's difference is above 0).
        paper: the paper's effect in points; for `order` tau, 1.
        line: where it stands in its file.
        metric, over: see verdict.Verdict.
    """

    id: str
    study: str
    source: str
    says: str
    kind: str
    contrasts: tuple[Contrast, ...]
    direction: str
    margin: float
    paper: float | None
    line: int
    metric: str = ERROR
    over: str = SEEDS_ALONE

    @property
    def unit(self) -> str:
        """Of effect and margin."""
        return TAU if self.kind == "order" else METRICS[self.metric][1]

    @cached_property
    def refs(self) -> tuple[Cell, ...]:
        """All cells that it is about, each once."""
        return tuple(dict.fromkeys(ref for contrast in self.contrasts for ref in contrast.refs))


def claims_of(study: Study) -> tuple[Claim, ...]:
    """The claims of a study.

    Raises:
        UserError: a claim is malformed.
    """
    known = {**_papers(), study.name: study}
    if study.claims is None:
        return tuple(claim for claim in read_claims(CLAIMS, known) if claim.study == study.name)
    if not study.claims:
        return ()
    preset = {"study": study.name, "source": study.title, "paper": PRINTED}
    text = yaml.safe_dump([{**preset, **claim} for claim in study.claims], sort_keys=False, allow_unicode=True)
    return _read(text, f"the claims of {study.name}", known, lines=False)


def read_claims(path: Path = CLAIMS, studies: Mapping[str, Study] | None = None) -> tuple[Claim, ...]:
    """All claims of a file, in its order.

    Args:
        studies: that claims may be of, by name; the paper's where not given.

    Raises:
        UserError: the file cannot be read or a claim is malformed; names file, line, what is wrong and what would do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    return _read(text, str(path), _papers() if studies is None else studies)


def _papers() -> dict[str, Study]:
    return {name: study_of(name) for name in BUILT_IN}


def _read(text: str, path: str, studies: Mapping[str, Study], lines: bool = True) -> tuple[Claim, ...]:
    """The claims of a text. Errors call it `path` and name a claim by its line, or by its number in the list."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}, line {line}: this is not YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is not YAML: {one_line(error)}.") from None
    if not isinstance(root, yaml.SequenceNode) or not root.value:
        raise UserError(f"{path}, line 1: a list of claims is needed, each an entry that starts with `- id: ...`.")
    claims: dict[str, Claim] = {}
    for number, node in enumerate(root.value, 1):
        try:
            for claim in _claims(node, studies, root):
                if claim.id in claims:
                    before = f" in line {claims[claim.id].line}" if lines else ""
                    raise ClaimError("id", f"{claim.id} stands{before} already; ids are unique")
                claims[claim.id] = claim
        except ClaimError as error:
            where = f"line {_line(node, error.key)}" if lines else f"claim {number}"
            raise UserError(f"{path}, {where}: {error}{'' if str(error)[-1] in '.?' else '.'}") from None
    return tuple(claims.values())


def _claims(node: yaml.Node, studies: Mapping[str, Study], root: yaml.SequenceNode) -> Iterator[Claim]:
    """The claims of one entry: one, or one for each value of `for`."""
    entry = _entry(node)
    study = _study(entry, studies, root)
    tests = [key for key in TESTS if key in entry]
    if len(tests) != 1:
        found = " and ".join(tests) or "none"
        raise ClaimError(
            tests[-1] if tests else "", f"exactly one test is needed of {', '.join(TESTS)}; there is {found}"
        )
    variants = list(_variants(entry.get("for", {}), study))
    effects = entry["paper"] if isinstance(entry["paper"], list) else [entry["paper"]]
    if len(effects) == 1:
        effects *= len(variants)
    if len(effects) != len(variants):
        raise ClaimError(
            "paper", f"paper has {len(effects)} effects for {len(variants)} claims; one is needed for each"
        )
    for values, effect in zip(variants, effects, strict=True):
        yield _claim(node, entry, tests[0], values, effect, study)


def _claim(
    node: yaml.Node, entry: dict[str, Any], test: str, values: dict[str, Any], effect: Any, study: Study
) -> Claim:
    kind, terms = contrasts(test, entry[test], values, study)
    for key, choices in CHOICES.items():
        if (chosen := entry.get(key, choices[0])) not in choices:
            raise ClaimError(key, f"{key} {chosen!r} is unknown; choose {' or '.join(choices)}")
    direction, metric, over = (entry.get(key, choices[0]) for key, choices in CHOICES.items())
    if direction == NOT_POSITIVE and kind != "contrast":
        raise ClaimError("direction", f"direction {NOT_POSITIVE} goes with gain, growth, trend and weights only")
    if over != SEEDS_ALONE and metric != ERROR:
        raise ClaimError("over", f"over: {over} goes with metric: {ERROR} only; of single images no {metric} is kept")
    refs = {ref for contrast in terms for ref in contrast.refs}
    for axis in (axis for axis in study.axes if over != SEEDS_ALONE and axis.startswith("data.")):
        if not axis.endswith(SAME_IMAGES) and len({ref.get(axis) for ref in refs}) > 1:
            raise ClaimError("over", f"over: {over} compares runs image by image; another {axis} may test on others")
    suffix = "".join(f"-{_short(key, value)}" for key, value in values.items())
    return Claim(
        id=f"{entry['id']}{suffix}",
        study=entry["study"],
        source=entry["source"],
        says=_filled(entry["says"], {_name(key): _said(key, value) for key, value in values.items()}),
        kind=kind,
        contrasts=terms,
        direction=direction,
        margin=float(entry["margin"]),
        paper=_paper(kind, terms, effect, study if metric == ERROR else None),
        line=node.start_mark.line + 1,
        metric=metric,
        over=over,
    )


def _filled(says: str, words: Mapping[str, str]) -> str:
    """The sentence of a claim with the values of `for` in place of {width}, {groups} or {label_smoothing}."""
    for name in re.findall(r"\{([^{}]*)\}", says):
        if _name(name) not in words:
            hint = nearest(f"{{{name}}}", [f"{{{key}}}" for key in words]) if words else "`for` gives no values"
            raise ClaimError("says", f"says: {{{name}}} stands for nothing; {hint}")
    filled = re.sub(r"\{([^{}]*)\}", lambda match: words[_name(match[1])], says)
    if "{" in filled or "}" in filled:
        raise ClaimError("says", "says: a brace has no partner; braces hold {width} or {groups} only")
    return filled


def _paper(kind: str, terms: tuple[Contrast, ...], stated: Any, study: Study | None) -> float | None:
    """The paper's effect as stated, which must be what the errors that `study` prints give wherever it prints them."""
    number = isinstance(stated, int | float) and not isinstance(stated, bool) and math.isfinite(stated)
    if stated not in (None, PRINTED) and not number:
        raise ClaimError("paper", f"paper: {stated!r} is not a number (null where the paper has none)")
    refs = {ref for contrast in terms for ref in contrast.refs}
    printed = {ref: error.value for ref in refs if study and (error := study.paper(ref))}
    if len(printed) < len(refs):
        return float(stated) if number else None
    expected = joint_effect(kind, [contrast.of(printed) for contrast in terms])
    if stated == PRINTED:
        return round(expected, 2)
    if stated is None or abs(stated - expected) > SLACK:
        raise ClaimError("paper", f"paper: {stated} is not what the paper's printed errors give, {expected:.2f}")
    return float(stated)


def _entry(node: yaml.Node) -> dict[str, Any]:
    """One entry as plain values, checked but for its test."""
    if not isinstance(node, yaml.MappingNode):
        raise ClaimError("", "a claim is a mapping that starts with `- id: ...`")
    entry: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise ClaimError("", f"the key in line {key_node.start_mark.line + 1} is not a word")
        key = key_node.value
        if key in entry:
            raise ClaimError(key, f"{key} is given twice")
        if key not in KEYS:
            raise ClaimError(key, f"{key} is no key of a claim; {nearest(key, KEYS)}")
        try:
            entry[key] = yaml.SafeLoader("").construct_object(value_node, deep=True)  # type: ignore[no-untyped-call]
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise ClaimError(key, f"{key} cannot be read: {one_line(error)}") from None
    missing = [key for key in NEEDED if key not in entry]
    if missing:
        raise ClaimError("", f"{', '.join(missing)} {are(len(missing))} missing")
    for key in ("id", "study", "source", "says"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise ClaimError(key, f"{key} must be a text")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", entry["id"]):
        raise ClaimError("id", f"id {entry['id']!r} may have small letters, digits, dots and dashes only")
    margin = entry["margin"]
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < math.inf:
        raise ClaimError("margin", f"margin {margin!r} must be a number above 0")
    return entry


def _study(entry: dict[str, Any], studies: Mapping[str, Study], root: yaml.SequenceNode) -> Study:
    """The study of an entry; of those that are unknown, all of the file are named at once."""
    if entry["study"] not in studies:
        pairs = [pair for node in root.value if isinstance(node, yaml.MappingNode) for pair in node.value]
        named = dict.fromkeys(str(value.value) for key, value in pairs if key.value == "study")
        unknown = [repr(name) for name in named if name not in studies]
        what = f"study {unknown[0]} is" if len(unknown) == 1 else f"studies {', '.join(unknown)} are"
        raise ClaimError("study", f"{what} unknown; choose {' or '.join(studies)}")
    return studies[entry["study"]]


def _variants(given: Any, study: Study) -> Iterator[dict[str, Any]]:
    """The values that `for` makes a claim for, by axis: all combinations."""
    known = [axis for axis in fields(study) if axis in study.axes and not (study.gain and axis == study.gain.axis)]
    known.sort(key=place)
    try:
        lists = named("for", dict(given), study) if isinstance(given, Mapping) else None
    except ClaimError:
        lists = None
    if lists is None or not {*lists} <= {*known}:
        raise ClaimError("for", f"for takes {' and '.join(known)}, each with a list of values")
    if not all(isinstance(values, list) and values for values in lists.values()):
        raise ClaimError("for", "for needs a list of values for each of its keys")
    for values in itertools.product(*lists.values()):
        yield dict(zip(lists, values, strict=True))


def _name(axis: str) -> str:
    """`width` of `model.width`, `label_smoothing` of `recipe.label_smoothing`."""
    return axis.rpartition(".")[2]


def _short(key: str, value: Any) -> str:
    if key == "width" and isinstance(value, int | float):
        return f"{value:g}x"
    return f"g{value}" if key == "groups" else f"{words(key).replace(' ', '-')}-{value}".lower()


def _said(key: str, value: Any) -> str:
    """A value of `for` in a sentence."""
    return _short(key, value).removeprefix("g") if key in ("width", "groups") else f"{value}"


def _line(node: yaml.Node, key: str) -> int:
    """The line of a key of an entry, else of the entry."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    marks = [key_node.start_mark.line for key_node, _ in pairs if key_node.value == key]
    return int(marks[-1] if marks else node.start_mark.line) + 1
