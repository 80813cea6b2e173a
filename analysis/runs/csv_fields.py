"""Lossless encoding of JSON values in CSV fields, and nested records from columns with dotted names."""

import json
from typing import Any


def encode(value: Any) -> str:
    """A value as text: JSON, but plain words stand without quotes. Never a line break."""
    if isinstance(value, str) and value and value.isprintable() and decode(value) is value:
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def decode(text: str) -> Any:
    """The value that `encode` was given."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def nest(fields: dict[str, Any]) -> dict[str, Any]:
    """The record that `files.flatten` was given, of names without dots."""
    record: dict[str, Any] = {}
    for name, value in fields.items():
        *path, last = name.split(".")
        place = record
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return record
