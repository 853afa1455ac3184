"""Frozen dataclasses to JSON and back, strictly: no unknown key, no missing key, no double key, no NaN or infinity."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from twin.files.atomic import write_text
from twin.files.errors import InputError

T = TypeVar("T")
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


def to_json(value: object, *, indent: int | None = 1) -> str:
    """JSON text of a frozen dataclass (or of plain values). Floats are written so that they come back bit-equal."""
    try:
        return json.dumps(_plain(value), allow_nan=False, indent=indent, ensure_ascii=False) + "\n"
    except ValueError as error:
        name = type(value).__name__
        raise InputError(f"{name} holds a number that is not finite; only finite numbers can be written") from error


def canonical_json(value: object) -> str:
    """One text for one value: keys sorted, no spaces. Made for hashing."""
    return json.dumps(_plain(value), allow_nan=False, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_json(cls: type[T], text: str | bytes, *, source: str = "JSON text") -> T:
    """Build ``cls`` from JSON, or raise :class:`InputError` naming ``source`` and the key."""
    parse_json(text, source=source)
    try:
        body = text if isinstance(text, bytes) else text.encode("utf-8")
        kind: Any = cls
        value: T = _adapter(kind).validate_json(b"[" + body + b"]")[0]
        return value
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][1:]) or "(top level)"
        raise InputError(f"{source}: {key}: {first['msg']}") from None


def parse_json(text: str | bytes, *, source: str = "JSON text") -> Any:
    """Plain values of a JSON text; refuses NaN, infinity, double keys and what is not JSON."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"{source}: key {key!r} is given twice")
        return dict(items)

    def constant(name: str) -> NoReturn:
        raise InputError(f"{source}: {name} is not allowed, only finite numbers")

    def number(literal: str) -> float:
        value = float(literal)
        if not np.isfinite(value):
            raise InputError(f"{source}: {literal} is too large, only finite numbers are allowed")
        return value

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON: {error}") from None


def write_json(path: Path, value: object) -> None:
    """Write ``value`` atomically as JSON."""
    write_text(path, to_json(value))


def read_json(cls: type[T], path: Path) -> T:
    """Read ``cls`` from a JSON file."""
    return from_json(cls, read_input(path), source=str(path))


def read_input(path: Path) -> bytes:
    """Bytes of an input file, or an :class:`InputError` that names it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    # inside a tuple, because pydantic takes no configuration for a bare dataclass
    wrapped: Any = tuple.__class_getitem__((cls,))
    return TypeAdapter(wrapped, config=_CONFIG)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    return value
