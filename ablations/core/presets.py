"""What the files of presets say to a reader of results; no part of a run's identity."""

from functools import cache

import yaml

from ablations.core.paths import CONF


@cache
def note(preset: str, data: str) -> str:
    """The `note` of a preset of conf/, empty where it has none or where other data than the preset's was used.

    Args:
        preset: its name; one that is no file of conf/preset/ has no note.
        data: name of the data set that runs were trained on.
    """
    found = {path.stem: path for path in (CONF / "preset").glob("*.yaml")}
    if preset not in found:
        return ""
    content = yaml.safe_load(found[preset].read_text(encoding="utf-8"))
    own = [entry.get("override /data") for entry in content.get("defaults", []) if isinstance(entry, dict)]
    return str(content.get("note", "")) if data in own else ""
