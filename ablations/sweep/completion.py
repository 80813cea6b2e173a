"""Values of keys in the shell's completion; Hydra itself offers configuration groups and the value of a key."""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from hydra.plugins.completion_plugin import CompletionPlugin
from omegaconf import OmegaConf

from ablations.core.paths import CONF

CHOICE = re.compile(r"(?:^|: )([\w.-]+)(?: \(.*|:.*|;.*)?$")
"""A choice in a comment of conf/ such as `all | matrices (more than one dimension) | pointwise`."""


def offer_values() -> None:
    """Let the completion of every shell offer values: Hydra's plugins, one a shell, share the method wrapped here."""
    hydras = CompletionPlugin._get_matches
    CompletionPlugin._get_matches = staticmethod(  # type: ignore[method-assign]
        lambda config, word: matches(config, word) if "=" in word else hydras(config, word)
    )


def matches(config: Any, word: str) -> list[str]:
    """What `key=` or `key=1,` may go on as: the word with each value that fits and is not in its list yet."""
    key, _, given = word.partition("=")
    before, comma, last = given.rpartition(",")
    return [
        f"{key}={before}{comma}{value}"
        for value in values(config, key.lstrip("+"))
        if value.startswith(last) and value not in before.split(",")
    ]


def values(config: Any, key: str) -> list[str]:
    """Values that conf/ knows of a key, in order: those of studies' grids, choices in comments, and the present one."""
    now = OmegaConf.select(config, key) if config is not None else None
    found = {*_in_grids(key), *_in_comments(key)}
    if isinstance(now, bool):
        found |= {"true", "false"}
    elif isinstance(now, str | int | float):
        found.add(str(now))
    return sorted(found, key=lambda value: (_number(value), value))


def _in_grids(key: str) -> Iterator[str]:
    for path in [*CONF.glob("ablation/*.yaml"), *CONF.glob("preset/*.yaml")]:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):  # claims, or numbers of a paper
            continue
        sweeper = (content.get("hydra") or {}).get("sweeper") or {}
        for params in (sweeper.get("params"), sweeper.get("narrow"), *(content.get("cells") or [])):
            given = (params or {}).get(key, [])
            yield from (_text(value) for value in (given if isinstance(given, list) else str(given).split(",")))


def _in_comments(key: str) -> Iterator[str]:
    group, _, name = key.rpartition(".")
    for path in [CONF / "config.yaml", *CONF.glob(f"{group}/*.yaml")] if group else [CONF / "config.yaml"]:
        indent = " *" if path == CONF / "config.yaml" else ""
        for comment in re.findall(
            rf"^{indent}{re.escape(name)}: .*?# (.* \| .*)$", path.read_text("utf-8"), re.MULTILINE
        ):
            found = [CHOICE.search(part.strip()) for part in comment.split(" | ")]
            yield from (one[1] for one in found if one and not one[1].isupper())  # `N` stands for a number


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("inf")
