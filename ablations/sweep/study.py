"""A study's own keys: its grid (cells, exclude), and its definition (axes, table, claims, published numbers).

The definition is checked before anything is trained and kept with the plan, so that what reads results needs no search
path.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader

from ablations.core.config import Config
from ablations.core.errors import UserError
from ablations.core.make_variables import quote
from ablations.core.paths import CONF
from ablations.core.run_spec import Run, digest, plain
from ablations.core.text import nearest, one_line
from model.family import BUILT_IN, load

GROUPS = ("model", "recipe", "data")
"""Parts of the configuration whose keys can be axes of a study."""

STRUCTURE = "model.structure"
"""The axis that tells families apart; in a grid it chooses the family's own configuration."""

AT_THE_TOP = (
    *("study", "family", "title", "cells", "exclude", "table", "figures", "captions", "margin", "claims", "published"),
    "seeds",
)
"""Keys of a study's file that have no effect in its grid, where they would be those of each job."""

TABLE, GAIN = ("title", "name", "rows", "columns", "gain", "pool"), ("axis", "from", "to")
"""Keys of `table`, and of its gain."""

AS_WRITTEN = ("title", "table", "figures", "captions", "margin")
"""Keys of a study that its definition holds as they are."""


def user_folders(loader: ConfigLoader) -> tuple[Path, ...]:
    """The folders of configuration besides conf/ (`--config-dir`), in the order they are searched."""
    sources = [source for source in loader.get_sources() if source.scheme() == "file" and source.path]
    found = [Path(source.path).resolve() for source in sources]
    return tuple(dict.fromkeys(path for path in found if path != CONF.resolve()))


def choose_family(name: str, known: Sequence[str]) -> list[str]:
    """The overrides that choose a family: its own file in model/, or one without keys of its own."""
    short = name.rpartition(".")[2]
    if name in known:
        return [f"model={name}"]
    return [f"model={short}" if short in known else "model=own", f"{STRUCTURE}={name}"]


def grid(cells: Any, known: Sequence[str]) -> list[list[str]]:
    """Overrides that every cell of `cells` stands for; one empty list where there are none.

    Raises:
        UserError: a cell is no mapping of axes.
    """
    if not cells:
        return [[]]
    found: list[list[str]] = []
    for cell in cells:
        _check_keys("cells", cell)
        lists = [value if isinstance(value, list) else [value] for value in cell.values()]
        for values in itertools.product(*lists):
            chosen = dict(zip(cell, values, strict=True))
            family = choose_family(str(chosen.pop(STRUCTURE)), known) if STRUCTURE in chosen else []
            found.append([*family, *(f"{key}={override_text(value)}" for key, value in chosen.items())])
    if not found:
        raise UserError("The study's cells name no cell, so there is nothing to train.")
    return found


def families_of(cells: Any, folders: Sequence[Path]) -> list[str]:
    """The families that `cells` name, but for those that are not there."""
    found: list[str] = []
    for cell in cells:
        named = cell.get(STRUCTURE, [])
        for name in [named] if isinstance(named, str) else named:
            with suppress(LookupError):
                found.append(load(name, folders).name)
    return found


def override_text(value: Any) -> str:
    """A value as Hydra's grammar reads it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(override_text, value))}]"
    return quote(str(value))


def excluded(config: Config, known: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a job has all values of one of the mappings that `exclude` lists."""
    return any(all(_same(value_of(config, key), value) for key, value in one.items()) for one in known)


def check_exclude(given: Any) -> None:
    """Refuse an `exclude` that is no list of mappings from axes to values."""
    for one in given or []:
        _check_keys("exclude", one)


def value_of(config: Config, key: str) -> Any:
    """The value of an axis such as `model.width` in a job; None where its family has no such axis."""
    group, _, name = key.partition(".")
    part = getattr(config, group)
    if isinstance(part, dict):
        return {**_defaults(part), **part}.get(name)
    return getattr(part, name, None)


def check_file(choice: str, own: Mapping[str, Any], config: Any, seeds_given: bool) -> None:
    """Refuse what a sweep would not read of the file of a study or preset.

    Args:
        choice: of the file, `ablation=NAME`. own: what it says. config: what is composed with it.
        seeds_given: the command line says how many seeds there are.

    Raises:
        UserError: with the key, and where it belongs.
    """
    params = config.hydra.sweeper.params or {}
    for key in params:
        if key in ("ablation", "preset"):
            raise UserError(f"{choice}: hydra.sweeper.params chooses {key}, which the command line alone does.")
        if key in AT_THE_TOP:
            raise UserError(f"{choice}: {key} has no effect in hydra.sweeper.params; write it at the top of the file.")
    grid = ((own.get("hydra") or {}).get("sweeper") or {}).get("params") or {}
    if "seed" in own and "seed" in params and not (seeds_given or "seed" in grid or own.get("seeds")):
        raise UserError(
            f"{choice}: seed: {own['seed']} at the top of the file is that of a single run; a sweep would take the "
            f'preset\'s ({params["seed"]}). Write seed: "{own["seed"]}" in hydra.sweeper.params, or plan looks: seeds: '
            "{first: 3, most: 8}."
        )
    for where, given, known in (("table", config.table, TABLE), ("table.gain", config.table.get("gain") or {}, GAIN)):
        for key in given if isinstance(given, Mapping) else ():
            if key not in known:
                raise UserError(f"{choice}: {where} has no key {key}: {nearest(key, known)}")


def axes_of(params: Mapping[str, Any], cells: Any, overrides: Iterable[str]) -> tuple[str, ...]:
    """The axes of a study, in the order of its file; then those of `model` that the command line sweeps.

    Args:
        overrides: keys that the command line sweeps.
    """
    swept = [key for key in overrides if key == "model" or key.startswith("model.")]
    named = [*params, *(key for cell in cells or [] for key in cell), *swept]
    keys = dict.fromkeys(STRUCTURE if key == "model" else key for key in named)
    return tuple(filter(_is_axis, keys))


def definition(
    config: Config, base: Any, axes: Sequence[str], structures: Sequence[str], folders: Sequence[Path]
) -> dict[str, Any]:
    """What a plan says of its study, all of it plain data.

    Args:
        config: of one of its jobs.
        base: what its file composes to, without the grid: it has the defaults of recipe and data.
        structures: the families of its jobs. `defaults` are those of the first that has an axis; where there are
            several, `families` has those of each.
        folders: of families and files of the user's.

    Raises:
        UserError: the table names what is no axis, or a file of claims or published numbers is not there.
    """
    table = config.table
    gain = table.get("gain") or {}
    named = [(key, axis) for key in ("rows", "columns", "pool") for axis in table.get(key) or []]
    for key, axis in [*named, *([("gain", gain.get("axis"))] if gain else [])]:
        if axis not in axes:
            raise UserError(
                f"table.{key} of the study {config.study} names {axis}, which is no axis of it: {nearest(axis, axes)}"
            )
    families = {n: {f"model.{axis}": v for axis, v in load(n, folders).defaults.items()} for n in structures}
    defaults: dict[str, Any] = {axis: v for one in reversed(families.values()) for axis, v in one.items()}
    defaults[STRUCTURE] = next(iter(families))
    for axis in axes:
        if axis not in defaults and not axis.startswith("model."):
            group, name = axis.split(".", 1)
            defaults[axis] = base[group][name]
    found: dict[str, Any] = {"study": config.study, "axes": list(axes), "defaults": defaults}
    if len(families) > 1:
        found["families"] = families
    found |= {key: value for key in AS_WRITTEN if (value := getattr(config, key)) not in (None, [], {})}
    for key in ("claims", "published"):
        entries, name = _entries(key, getattr(config, key), folders)
        if entries is not None:
            found[key] = entries
        if key == "claims" and name:
            found["claims_file"] = name
    return found


def scope_of(run: Run, axes: Sequence[str]) -> str | None:
    """Identity of all of a description but the study's axes and the seed; None where that is the protocol's own.

    That is so unless an axis is in recipe or data. What a data axis changes in images alone shows in their digest, so
    the digest is then left out.
    """
    outside = [axis for axis in axes if not axis.startswith("model.")]
    if not outside:
        return None
    protocol = plain(run.protocol)
    parts = {"recipe": dict(protocol["recipe"]), "data": dict(protocol["data"])}
    for axis in outside:
        group, name = axis.split(".", 1)
        if name == "resolution":
            protocol.pop("resolution", None)
        elif group == "data" and name not in parts["data"]:
            parts["data"].pop("digest", None)
        parts[group].pop(name, None)
        if group == "data" and name.endswith("resolution"):
            parts["data"].pop("digest", None)
    return digest({"scope": {**protocol, **parts}})


def check_name(choice: str | None, study: str, known: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse a study of the user's that has the name of another: its plans and tables would be mixed up."""
    if choice is None:
        return
    files = [folder / "ablation" / f"{choice}.yaml" for folder in folders]
    file = next((file for file in files if file.exists()), None)
    if file and (CONF / "ablation" / f"{choice}.yaml").exists():
        raise UserError(
            f"{file} has the name of a study of this package; give the file, and its `study`, another name."
        )
    if study != choice and study in known:
        raise UserError(f"ablation={choice} says study: {study}, which is another study's name; write study: {choice}.")


def _entries(key: str, given: Any, folders: Sequence[Path]) -> tuple[list[Any] | None, str]:
    """Claims or published numbers: the list itself, or that of a file beside the studies, with the file's name."""
    if given is None or isinstance(given, list):
        return given, ""
    places = {folder / name: folder for folder in (*folders, CONF) for name in (f"ablation/{given}", given)}
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(f"{key}: {given} is not there: put it beside the study, in {next(iter(places)).parent}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}.") from None
    if not isinstance(content, list):
        raise UserError(f"{path} must be a list of {key}.")
    above = places[path].parent
    return content, path.relative_to(above).as_posix() if path.is_relative_to(above) else path.name


def _check_keys(key: str, one: Any) -> None:
    if not isinstance(one, Mapping) or not one:
        raise UserError(f"{key} must be a list of cells such as {{model.groups: 3, model.width: 0.5}}, not of {one!r}.")
    for axis in one:
        if not _is_axis(str(axis)):
            raise UserError(f"{key}: {axis} is no axis: write a key below model, recipe or data, such as model.width.")


def _is_axis(key: str) -> bool:
    group, _, name = key.partition(".")
    return group in GROUPS and bool(name) and key not in ("model.stem", "recipe.name", "data.name")


def _defaults(model: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(model.get("structure"))
    return load(name).defaults if name in BUILT_IN else {}


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
