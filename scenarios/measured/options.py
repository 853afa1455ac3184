"""What is asked for: which treatments, and the settings of a refinement of measured data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pipeline.refinement.settings import DynamicalSettings
from pipeline.solution.options import DEFAULT, FlipOptions
from twin.files.errors import InputError
from twin.model.crystal import Cell

Settings = TypeVar("Settings", DynamicalSettings, FlipOptions)
Treatment = Literal["kinematical", "dynamical"]
FIXED = {"mode", "kinematical"}  # settings that the data or the treatment decide


def treatments_of(*, kinematical: bool, dynamical: bool) -> tuple[Treatment, ...]:
    """The treatments asked for; both when none is."""
    both: tuple[tuple[bool, Treatment], ...] = ((kinematical, "kinematical"), (dynamical, "dynamical"))
    return tuple(name for wanted, name in both if wanted or kinematical == dynamical)


def override(settings: DynamicalSettings, sets: Sequence[str]) -> DynamicalSettings:
    """``settings`` with KEY=VALUE replaced; InputError for what is not a key or not a value of it."""
    changes = _changes(DynamicalSettings, sets, fixed=FIXED)
    return _within_beams(replace(settings, **changes), chosen="reflection_g_max_per_angstrom" in changes)


def flip_options(sets: Sequence[str]) -> FlipOptions:
    """Options of charge flipping from KEY=VALUE; InputError for what is not a key or not a value of it."""
    changes = _changes(FlipOptions, sets)
    try:
        return replace(DEFAULT, **changes)
    except ValueError as error:
        raise InputError(f"--set: {error}") from None


def _changes(kind: type[Settings], sets: Sequence[str], *, fixed: Collection[str] = ()) -> dict[str, Any]:
    """Values of the fields of ``kind`` from KEY=VALUE; those ``fixed`` cannot be given."""
    hints = get_type_hints(kind)
    allowed = sorted({f.name for f in fields(kind)} - set(fixed))
    changes: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or key not in allowed:
            raise InputError(f"--set {text[:60]}: the form is KEY=VALUE with one of {', '.join(allowed)}")
        changes[key] = _value(hints[key], value.strip(), key)
    return changes


def _within_beams(settings: DynamicalSettings, *, chosen: bool) -> DynamicalSettings:
    """Reflections are refined no farther out than beams go; a limit that was ``chosen`` is not moved."""
    beams, reflections = settings.g_max_per_angstrom, settings.reflection_g_max_per_angstrom
    if reflections is None or reflections <= beams:
        return settings
    if chosen:
        raise InputError(
            f"reflection_g_max_per_angstrom is {reflections:g}; it must not be above g_max_per_angstrom ({beams:g})"
        )
    return replace(settings, reflection_g_max_per_angstrom=beams)


def _value(hint: Any, text: str, key: str) -> Any:
    kinds = [k for k in get_args(hint) if k is not type(None)] if type(None) in get_args(hint) else [hint]
    if len(kinds) < len(get_args(hint)) and text.lower() in ("none", ""):
        return None
    kind = kinds[0]
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise InputError(f"{key} is '{text[:40]}'; allowed are {', '.join(get_args(kind))}")
        return text
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if get_origin(kind) is tuple:
            low, high = text.strip("()[]").split(",")
            return float(low), float(high)
        return kind(text)
    except (ValueError, KeyError):
        names = {bool: "true or false", int: "an integer", float: "a number"}
        raise InputError(f"{key} is '{text[:40]}'; it must be {names.get(kind, 'two numbers with a comma')}") from None


def parse_cell(text: str) -> Cell:
    """The cell of ``--cell``: a b c in Å and three angles in degrees."""
    try:
        a, b, c, alpha, beta, gamma = (float(v) for v in text.replace(",", " ").split())
    except ValueError:
        raise InputError(f"--cell is '{text}'; six numbers are needed, a b c in Å and three angles") from None
    if not (all(1.0 <= v <= 100.0 for v in (a, b, c)) and all(30.0 <= v <= 150.0 for v in (alpha, beta, gamma))):
        raise InputError(f"--cell is '{text}'; allowed are 1 to 100 Å and 30 to 150°")
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)
