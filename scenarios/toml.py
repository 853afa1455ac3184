"""A scenario as TOML text, resolved: what the run folder keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scenarios.schema import Scenario


def scenario_toml(scenario: Scenario, *, name: str, cif: str) -> str:
    """Every key with its value, ``extends`` followed, and the crystal's file as ``cif``."""
    table = scenario.model_dump(exclude_none=True)
    table["material"]["cif"] = cif
    table["name"] = name
    lines = ["# Resolved by edtwin: every key as it was used."]
    _write_table(table, path=(), lines=lines)
    return "\n".join(lines) + "\n"


def _write_table(table: Mapping[str, Any], *, path: tuple[str, ...], lines: list[str]) -> None:
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and values:
        lines.extend(["", f"[{'.'.join(_key(part) for part in path)}]"])
    lines.extend(f"{_key(key)} = {_value(value)}" for key, value in values.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write_table(value, path=(*path, key), lines=lines)


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"no TOML for {type(value).__name__}")
