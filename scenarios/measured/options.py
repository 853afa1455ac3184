"""What is asked for: which treatments, and the settings of a refinement of measured data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from pipeline.refinement.measured import MeasuredSeries
from pipeline.refinement.settings import DynamicalSettings
from twin.files.errors import InputError
from twin.model.crystal import Crystal

Treatment = Literal["kinematical", "dynamical"]
FIXED = {"mode", "kinematical"}  # settings that the data or the treatment decide


def treatments_of(*, kinematical: bool, dynamical: bool) -> tuple[Treatment, ...]:
    """The treatments asked for; both when none is."""
    both: tuple[tuple[bool, Treatment], ...] = ((kinematical, "kinematical"), (dynamical, "dynamical"))
    return tuple(name for wanted, name in both if wanted or kinematical == dynamical)


def default_settings(series: MeasuredSeries, crystal: Crystal) -> DynamicalSettings:
    """Settings for measured data: beams a little beyond the data, a wedge, mosaicity refined.

    Every tenth frame is held out. Tensors are refined when the model brings them.
    """
    g = np.linalg.norm(series.reflections.hkl @ series.orientation.ub.T, axis=1)
    reach = float(np.quantile(g, 0.999))
    rotation = series.mode == "continuous"
    return DynamicalSettings(
        mode=series.mode,
        g_max_per_angstrom=round(min(max(1.1 * reach, 1.0), 2.4), 2),
        reflection_g_max_per_angstrom=round(reach, 3),
        s_g_max_per_angstrom=0.01,
        r_s_g_max=0.66,
        d_s_g_min_per_angstrom=0.0015,
        steps=80 if rotation else 64,
        thickness_model="wedge",
        thickness_scan_nm=(5.0, 200.0),
        beams_per_step=True,
        mosaicity_deg=0.05 if rotation else 0.0,
        mosaic_blocks=3,
        refine_mosaicity=rotation,
        orientation_sd_deg=0.2,
        anisotropic=any(site.u_aniso_angstrom2 is not None for site in crystal.sites),
        hold_out_every=10,
    )


def override(settings: DynamicalSettings, sets: Sequence[str]) -> DynamicalSettings:
    """``settings`` with KEY=VALUE replaced; InputError for what is not a key or not a value of it."""
    hints = get_type_hints(DynamicalSettings)
    allowed = sorted({f.name for f in fields(DynamicalSettings)} - FIXED)
    changes: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or key not in allowed:
            raise InputError(f"--set {text[:60]}: the form is KEY=VALUE with one of {', '.join(allowed)}")
        changes[key] = _value(hints[key], value.strip(), key)
    return replace(settings, **changes)


def _value(hint: Any, text: str, key: str) -> Any:
    kinds = [k for k in get_args(hint) if k is not type(None)] if type(None) in get_args(hint) else [hint]
    if len(kinds) < len(get_args(hint)) and text.lower() in ("none", ""):
        return None
    kind = kinds[0]
    try:
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise InputError(f"{key} is '{text[:40]}'; allowed are {', '.join(get_args(kind))}")
            return text
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if get_origin(kind) is tuple:
            low, high = text.strip("()[]").split(",")
            return float(low), float(high)
        return kind(text)
    except (ValueError, KeyError):
        names = {bool: "true or false", int: "an integer", float: "a number"}
        raise InputError(f"{key} is '{text[:40]}'; it must be {names.get(kind, 'two numbers with a comma')}") from None
