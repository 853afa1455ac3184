"""From TOML on disk to a checked scenario; every refusal is one sentence with the file and the dotted key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios.messages import one_line, sentence
from scenarios.schema import Scenario
from twin.files.errors import InputError

LIBRARY = Path(__file__).parent / "library"
MAX_BYTES = 200_000
MAX_DEPTH = 8
LIBRARY_PREFIX = "library:"
Table = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedScenario:
    """A checked scenario, the name that it goes by, and the crystal's file as an absolute path."""

    name: str
    path: Path
    scenario: Scenario
    cif_path: Path


def library_names() -> tuple[str, ...]:
    """Scenarios that ship with edtwin, sorted."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.toml")))


def find_scenario(name_or_path: str) -> Path:
    """A library name, or the path of a TOML file."""
    if not name_or_path or "\0" in name_or_path:
        raise InputError("the name of the scenario is empty or not a name")
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        return path
    if name_or_path in library_names():
        return LIBRARY / f"{name_or_path}.toml"
    if path.suffix == ".toml":
        raise InputError(f"{name_or_path}: no such scenario file")
    near = difflib.get_close_matches(name_or_path, library_names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    names = ", ".join(library_names())
    raise InputError(f"{name_or_path!r} is neither a scenario of the library ({names}) nor a TOML file{hint}")


def load_scenario(name_or_path: str | Path, *, overrides: Sequence[str] = ()) -> LoadedScenario:
    """Read, merge what it extends, apply ``key=value`` overrides, and validate."""
    path = find_scenario(str(name_or_path)).resolve()
    table = _read_merged(path, root=path.parent, seen=())
    for override in overrides:
        _apply_override(table, override, root=path.parent)
    scenario = parse_scenario(table, source=_shown(path))
    cif_path = path.parent / scenario.material.cif  # an absolute one stays as it is
    return LoadedScenario(name=scenario.name or path.stem, path=path, scenario=scenario, cif_path=cif_path)


def parse_scenario(table: Mapping[str, Any], *, source: str) -> Scenario:
    """Validate a merged table; the first thing wrong becomes the sentence of an :class:`InputError`."""
    try:
        return Scenario.model_validate(table)
    except ValidationError as error:
        raise InputError(sentence(error, source=source)) from None
    except RecursionError:
        raise InputError(f"{source}: tables are nested too deeply") from None


def read_table(path: Path) -> Table:
    """One TOML file as a table, without following ``extends``."""
    shown = _shown(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{shown}: {size} bytes, a scenario file may have at most {MAX_BYTES}")
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({error.strerror or 'not a file'})") from None
    except UnicodeDecodeError:
        raise InputError(f"{shown}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{shown}: is not valid TOML ({one_line(str(error))})") from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown}: is not valid TOML (a value that cannot be held)") from None


def _read_merged(path: Path, *, root: Path, seen: tuple[Path, ...]) -> Table:
    if path in seen:
        raise InputError(f"{_shown(path)}: extends: goes round in a circle")
    if len(seen) >= MAX_DEPTH:
        raise InputError(f"{_shown(path)}: extends: deeper than {MAX_DEPTH} files")
    table = read_table(path)
    parents = table.pop("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(p, str) for p in parents):
        raise InputError(f"{_shown(path)}: extends: must be a file name or a list of file names")
    if len(parents) > MAX_DEPTH:
        raise InputError(f"{_shown(path)}: extends: names {len(parents)} files, allowed are at most {MAX_DEPTH}")
    _anchor_cif(table, folder=path.parent, root=root, source=_shown(path))
    merged: Table = {}
    for parent in parents:
        target, parent_root = _resolve_parent(parent, path=path, root=root)
        merged = _merge(merged, _read_merged(target, root=parent_root, seen=(*seen, path)))
    return _merge(merged, table)


def _resolve_parent(parent: str, *, path: Path, root: Path) -> tuple[Path, Path]:
    in_library = parent.startswith(LIBRARY_PREFIX)
    base, new_root = (LIBRARY.resolve(), LIBRARY.resolve()) if in_library else (path.parent, root)
    name = parent.removeprefix(LIBRARY_PREFIX)
    target = _inside(name, folder=base, root=new_root, source=_shown(path), key="extends")
    if target.suffix != ".toml":
        raise InputError(f"{_shown(path)}: extends: {parent!r} is not a .toml file")
    if not target.is_file():
        raise InputError(f"{_shown(path)}: extends: {parent!r} does not exist")
    return target, new_root


def _inside(name: str, *, folder: Path, root: Path, source: str, key: str) -> Path:
    if "\0" in name or "\\" in name or Path(name).is_absolute():
        raise InputError(f"{source}: {key}: {name!r} must be a relative path")
    try:
        target = (folder / name).resolve()
    except (OSError, RuntimeError):
        raise InputError(f"{source}: {key}: {name!r} cannot be followed") from None
    if not target.is_relative_to(root.resolve()):
        raise InputError(f"{source}: {key}: {name!r} leaves the folder of the scenario")
    return target


def _anchor_cif(table: Table, *, folder: Path, root: Path, source: str) -> None:
    material = table.get("material")
    if isinstance(material, dict) and isinstance(material.get("cif"), str):
        material["cif"] = str(_inside(material["cif"], folder=folder, root=root, source=source, key="material.cif"))


def _merge(base: Table, over: Table) -> Table:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _apply_override(table: Table, override: str, *, root: Path) -> None:
    source = f"--set {override}"
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > MAX_DEPTH:
        raise InputError(f"{source}: must read key=value, with dots between the parts of the key")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        value = text
    inner = table
    for part in parts[:-1]:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(f"{source}: {key} has no keys below it")
    inner[parts[-1]] = value
    if key.strip() == "material.cif":
        _anchor_cif(table, folder=root, root=root, source=source)


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(LIBRARY.resolve().parent.parent))
    except ValueError:
        return str(path)
