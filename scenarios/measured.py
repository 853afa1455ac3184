"""Refinement of a model against a measured .cif_pets file: a run folder without a twin.

Written are one CIF and one list of F_o and F_c a treatment, report.html, and summary.json with the settings used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from pipeline.refinement.measured import MeasuredSeries, read_series
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Refinement
from twin.files.atomic import write_text
from twin.files.cif import read_crystal, write_crystal
from twin.files.errors import InputError
from twin.model.crystal import Crystal

Treatment = Literal["kinematical", "dynamical"]
_FIXED = {"mode", "kinematical"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """folder: where everything lies; refinements in the order of the treatments."""

    folder: Path
    refinements: tuple[Refinement, ...]


def refine_measured(
    *,
    data: Path,
    model: Path,
    folder: Path,
    treatments: Sequence[Treatment],
    sets: Sequence[str] = (),
    workers: int = 1,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Refine ``model`` against the frames of ``data`` and write the folder."""
    series, crystal = read_series(data), read_model(model)
    settings = override(default_settings(series, crystal), sets)
    _claim(folder, overwrite)
    for note in series.notes:
        say(note)
    found: list[Refinement] = []
    timings: dict[str, float] = {}
    for treatment in treatments:
        started = perf_counter()
        found.append(_refine(series, crystal, settings, treatment, workers, say))
        timings[treatment] = perf_counter() - started
        _write(folder, found[-1], treatment)
    write_text(folder / "summary.json", _summary(found, series, settings, timings, data=data, model=model))
    _report(folder, found, series, settings, data=data, model=model)
    return Outcome(folder=folder, refinements=tuple(found))


def treatments_of(*, kinematical: bool, dynamical: bool) -> tuple[Treatment, ...]:
    """The treatments asked for; both when none is."""
    both: tuple[tuple[bool, Treatment], ...] = ((kinematical, "kinematical"), (dynamical, "dynamical"))
    return tuple(name for wanted, name in both if wanted or kinematical == dynamical)


def read_model(path: Path) -> Crystal:
    """A CIF, or a SHELX .res or .ins file."""
    if path.suffix.lower() in (".res", ".ins"):
        from pipeline.io.shelx_model import read_shelx_model

        return read_shelx_model(path)
    return read_crystal(path)


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
    allowed = sorted({f.name for f in fields(DynamicalSettings)} - _FIXED)
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


def _claim(folder: Path, overwrite: bool) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not overwrite:
        raise InputError(f"{folder} is there already and not empty; --overwrite replaces the results in it")
    folder.mkdir(parents=True, exist_ok=True)


def _refine(
    series: MeasuredSeries,
    crystal: Crystal,
    settings: DynamicalSettings,
    treatment: Treatment,
    workers: int,
    say: Callable[[str], None],
) -> Refinement:
    from pipeline.refinement.dynamical import refine_dynamical

    def note(stage: str, cycle: int, value: float) -> None:
        unit = "degrees rms turn" if stage == "orientation" else "% weighted residual of I"
        say(f"{treatment}: {stage} {cycle}: {value:.3f} {unit}")

    return refine_dynamical(
        model=crystal,
        orientation=series.orientation,
        reflections=series.reflections,
        settings=replace(settings, kinematical=treatment == "kinematical"),
        workers=workers,
        progress=note,
    )


def _write(folder: Path, refinement: Refinement, treatment: Treatment) -> None:
    tags: dict[str, str | int | float] = {
        "refine_ls_R_factor_gt": round(refinement.r_obs_percent / 100, 4),
        "refine_ls_R_factor_all": round(refinement.r_all_percent / 100, 4),
        "refine_ls_wR_factor_ref": round(refinement.wr_all_percent / 100, 4),
        "refine_ls_goodness_of_fit_gt": round(refinement.gof_obs, 3),
        "refine_ls_number_parameters": refinement.parameters,
        "refine_ls_number_reflns": refinement.reflections_all,
        "reflns_number_gt": refinement.reflections_obs,
        "reflns_threshold_expression": "I>3\\s(I)",
        "refine_ls_structure_factor_coef": "Fsqd",
        "diffrn_radiation_probe": "electron",
    }
    crystal = replace(refinement.crystal, name=f"{refinement.crystal.name} {refinement.kind}")
    write_crystal(crystal, folder / f"{treatment}.cif", su=refinement.standard_uncertainties, extra=tags)
    write_text(folder / f"{treatment}_fo_fc.txt", listing(refinement))


def listing(refinement: Refinement) -> str:
    """h k l frame F_o F_c σ(F) o|<, one line a reflection."""
    r = refinement
    head = "#   h   k   l frame          F_obs         F_calc      sigma_F observed\n"
    body = [
        f"{h:5d}{k:4d}{m:4d}{f + 1:6d}{o:15.4f}{c:15.4f}{s:13.4f} {'o' if seen else '<'}"
        for (h, k, m), f, o, c, s, seen in zip(
            r.hkl.tolist(), r.frame.tolist(), r.f_obs, r.f_calc, r.sigma_f, r.observed, strict=True
        )
    ]
    return head + "\n".join(body) + "\n"


def _summary(
    found: Sequence[Refinement],
    series: MeasuredSeries,
    settings: DynamicalSettings,
    timings: dict[str, float],
    *,
    data: Path,
    model: Path,
) -> str:
    keys = (
        "kind", "parameters", "reflections_all", "reflections_obs", "r_obs_percent", "r_all_percent", "wr_all_percent",
        "gof_obs", "held_out_r_obs_percent", "thickness_nm", "mosaicity_deg", "verdict", "cycles",
    )  # fmt: skip
    blocks = [{key: getattr(r, key) for key in keys} for r in found]
    whole = {
        "data": data.name,
        "model": model.name,
        "notes": list(series.notes),
        "frames": len(series.zone_id),
        "settings": asdict(settings),
        "timings_s": timings,
        "refinements": blocks,
    }
    return json.dumps(whole, indent=1) + "\n"


def _report(
    folder: Path,
    found: Sequence[Refinement],
    series: MeasuredSeries,
    settings: DynamicalSettings,
    *,
    data: Path,
    model: Path,
) -> None:
    from validation.refinement.report import refinement_page

    facts = {"data": data.name, "model": model.name, "frames": str(len(series.zone_id))}
    facts |= {key: str(value) for key, value in asdict(settings).items() if key not in _FIXED}
    page = refinement_page(
        title=f"{model.stem} against {data.name}", refinements=found, facts=facts, notes=series.notes
    )
    write_text(folder / "report.html", page)
