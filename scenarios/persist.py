"""Stage types on disk: arrays and plain values of a frozen dataclass in one file, and back, bit-equal.

Two forms of the same thing: ``.npz`` (arrays as they are, the rest as one JSON text) for what is large, ``.json``
for what people read. Nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from twin.files.atomic import atomic_path, write_text
from twin.files.errors import InputError
from twin.files.json import from_json, parse_json, read_input, to_json

T = TypeVar("T")
_PLAIN, _KEY = "plain_json", "made_from"


def save_npz(path: Path, value: object, *, key: str = "") -> None:
    """Write a frozen dataclass whose fields are arrays, plain values, or frozen dataclasses of plain values.

    ``key`` says what the value was made from; see :func:`holds_key`.
    """
    arrays, plain = _split(value)
    arrays[_KEY] = np.frombuffer(key.encode("ascii"), dtype=np.uint8)
    arrays[_PLAIN] = np.frombuffer(to_json(plain, indent=None).encode("utf-8"), dtype=np.uint8)
    with atomic_path(path) as temporary, open(temporary, "xb") as handle:
        np.savez(handle, **arrays)


def load_npz(cls: type[T], path: Path) -> T:
    """Read what :func:`save_npz` wrote; every member's checksum is verified on the way."""
    arrays = _read_arrays(path)
    del arrays[_KEY]
    text = arrays.pop(_PLAIN).tobytes()
    return _build(cls, {**parse_json(text, source=str(path)), **arrays}, source=str(path))


def holds_key(path: Path, key: str) -> bool:
    """Whether ``path`` is there, undamaged, and was made from ``key``."""
    try:
        return path.is_file() and _read_arrays(path)[_KEY].tobytes() == key.encode("ascii")
    except InputError:
        return False


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        _ = arrays[_PLAIN], arrays[_KEY]
        return arrays
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or 'damaged'}") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, MemoryError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}") from None


def save_json(path: Path, value: object) -> None:
    """Write a frozen dataclass with its arrays as nested lists."""
    write_text(path, to_json(value))


def load_json(cls: type[T], path: Path) -> T:
    """Read what :func:`save_json` wrote."""
    return _build(cls, parse_json(read_input(path), source=str(path)), source=str(path))


def _split(value: object) -> tuple[dict[str, Any], dict[str, Any]]:
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is not a dataclass")
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    arrays = {name: item for name, item in fields.items() if isinstance(item, np.ndarray)}
    return arrays, {name: item for name, item in fields.items() if name not in arrays}


def _build(cls: type[T], values: Any, *, source: str) -> T:
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}  # what came later has a default
    if not isinstance(values, dict) or not needed <= set(values) <= set(names):
        raise InputError(f"{source}: must hold exactly {', '.join(names)}")
    return cls(**{name: _field(hints[name], values[name], source=f"{source}: {name}") for name in values})


def _field(hint: Any, value: Any, *, source: str) -> Any:
    dtype = _array_dtype(hint)
    if dtype is None:
        return from_json(hint, json.dumps(value), source=source)
    if value is None and type(None) in get_args(hint):
        return None
    try:
        return np.asarray(value, dtype=dtype)
    except (ValueError, TypeError):
        raise InputError(f"{source}: is not an array of {np.dtype(dtype).name}") from None


def _array_dtype(hint: Any) -> Any:
    """Element type when ``hint`` is an array (or an array or None), else None."""
    for kind in (hint, *get_args(hint)):
        if get_origin(kind) is np.ndarray:
            (element,) = get_args(get_args(kind)[1])
            return element
    return None
