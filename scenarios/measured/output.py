"""Files of a refinement of measured data: CIF, list of F_o and F_c, difference potential, summary, report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from pipeline.refinement.difference import DifferenceMap, difference_map
from pipeline.refinement.figures import INSTABILITY
from pipeline.refinement.geometry import Measured, bond_angles, bond_lengths
from pipeline.refinement.settings import DynamicalSettings
from pipeline.types import Refinement
from scenarios.measured.options import FIXED
from twin.files.atomic import write_bytes, write_text
from twin.files.ccp4 import ccp4_bytes
from twin.files.cif import write_crystal
from twin.files.cif_writer import format_su
from twin.files.errors import InputError
from twin.physics.lattice import Floats

_GEOMETRY = (
    "atoms are bonded when nearer than the sum of their covalent radii and 0.4 A; s.u.s from those of the coordinates, "
    "without correlations and without those of the cell"
)
_KEYS = (
    "kind", "parameters", "reflections_all", "reflections_obs", "r_obs_percent", "r_all_percent", "wr_all_percent",
    "gof_obs", "held_out_r_obs_percent", "thickness_nm", "mosaicity_deg", "verdict", "cycles",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """Everything that the summary and the report tell.

    turn_deg: for each refinement (frames, 2), how far its frames turned about x and y of the laboratory from where the
    data said they were, NaN for frames that took no part; None for averaged data. checks: sentences (hand, cut-offs).
    """

    data: str
    model: str
    notes: tuple[str, ...]
    settings: DynamicalSettings | None
    frames: int
    refinements: tuple[Refinement, ...]
    timings_s: dict[str, float]
    turn_deg: tuple[Floats | None, ...] = ()
    checks: tuple[str, ...] = ()
    hand_z: float | None = None
    cut_off_change_percent: dict[str, float] = field(default_factory=dict)


def claim(folder: Path, overwrite: bool) -> None:
    """Make the folder, which must be empty or not there unless its results may be replaced."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not overwrite:
        raise InputError(f"{folder} is there already and not empty; --overwrite replaces the results in it")
    folder.mkdir(parents=True, exist_ok=True)


def write_refinement(folder: Path, refinement: Refinement, *, instability: float = INSTABILITY) -> DifferenceMap:
    """NAME.cif, NAME_fo_fc.txt and NAME_difference.ccp4 (in volts), named after the kind; returns the map.

    ``instability``: that of the weights, for the CIF.
    """
    found = difference_map(refinement)
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
        "refine_ls_weighting_scheme": "calc",
        "refine_ls_weighting_details": f"w=1/[\\s^2^(I)+({2 * instability:g}I)^2^]",
        "refine_ls_extinction_method": "none",
        "computing_structure_refinement": f"edtwin {version('edtwin')}",
        "geom_special_details": _GEOMETRY,
        "refine_special_details": special_details(refinement, found),
        "diffrn_radiation_probe": "electron",
    }
    crystal = replace(refinement.crystal, name=f"{refinement.crystal.name} {refinement.kind}")
    text = write_crystal(crystal, su=refinement.standard_uncertainties, extra=tags)
    write_text(folder / f"{refinement.kind}.cif", text + geometry_loops(refinement))
    write_text(folder / f"{refinement.kind}_fo_fc.txt", listing(refinement))
    write_bytes(folder / f"{refinement.kind}_difference.ccp4", ccp4_bytes(refinement.crystal, found.potential_volt))
    return found


def geometry_loops(refinement: Refinement) -> str:
    """Loops of bond lengths and angles for the CIF; empty without any."""
    crystal, su = refinement.crystal, refinement.standard_uncertainties
    return _loop("bond", bond_lengths(crystal, su), decimals=4) + _loop("angle", bond_angles(crystal, su), decimals=2)


def _loop(kind: str, rows: Sequence[Measured], *, decimals: int) -> str:
    if not rows:
        return ""
    value = f"_geom_{kind}" + ("_distance" if kind == "bond" else "")
    atoms = range(1, len(rows[0].labels) + 1)
    names = [f"_geom_{kind}_atom_site_label_{k}" for k in atoms] + [f"_geom_{kind}_site_symmetry_{k}" for k in atoms]
    body = [" ".join((*r.labels, *r.codes, format_su(r.value, r.su, decimals=decimals))) for r in rows]
    return "\n".join(["loop_", *names, value, *body]) + "\n"


def special_details(refinement: Refinement, found: DifferenceMap) -> str:
    """One line for the CIF: treatment, thickness, mosaicity, frames held out, extremes of the difference potential."""
    r = refinement
    parts = [f"{r.kind.replace('_', ' ')} refinement", r.verdict]
    if r.thickness_nm is not None:
        parts.append(f"thickness {r.thickness_nm:.2f} nm")
    if r.mosaicity_deg is not None:
        parts.append(f"mosaicity {r.mosaicity_deg:.4f} degrees")
    if r.held_out_r_obs_percent is not None:
        parts.append(f"R(obs) of frames held out {r.held_out_r_obs_percent:.2f} percent")
    parts.append(peaks(found))
    return "; ".join(parts).replace("'", "")


def peaks(found: DifferenceMap) -> str:
    """The extremes of a difference potential as a phrase."""
    places = [" ".join(f"{x:.3f}" for x in place) for _, place in (found.highest, found.lowest)]
    return (
        f"difference potential from {found.lowest[0]:.2f} V at ({places[1]}) to {found.highest[0]:.2f} V at "
        f"({places[0]}), standard deviation {found.sigma_volt:.2f} V"
    )


def listing(refinement: Refinement) -> str:
    """h k l frame F_o F_c σ(F) o|<, one line a reflection; frame 0 for averaged data."""
    r = refinement
    head = "#   h   k   l frame          F_obs         F_calc      sigma_F observed\n"
    body = [
        f"{h:5d}{k:4d}{m:4d}{f + 1:6d}{o:15.4f}{c:15.4f}{s:13.4f} {'o' if seen else '<'}"
        for (h, k, m), f, o, c, s, seen in zip(
            r.hkl.tolist(), r.frame.tolist(), r.f_obs, r.f_calc, r.sigma_f, r.observed, strict=True
        )
    ]
    return head + "\n".join(body) + "\n"


def write_summary(folder: Path, found: Findings) -> None:
    """summary.json."""
    whole = {
        "data": found.data,
        "model": found.model,
        "notes": list(found.notes),
        "checks": list(found.checks),
        "frames": found.frames,
        "settings": None if found.settings is None else asdict(found.settings),
        "timings_s": found.timings_s,
        "hand_z": found.hand_z,
        "cut_off_change_percent": found.cut_off_change_percent,
        "refinements": [{key: getattr(r, key) for key in _KEYS} for r in found.refinements],
    }
    write_text(folder / "summary.json", json.dumps(whole, indent=1, allow_nan=False) + "\n")


def write_report(folder: Path, found: Findings, maps: Sequence[DifferenceMap]) -> None:
    """report.html."""
    from validation.refinement.report import refinement_page

    facts = {"data": found.data, "model": found.model}
    if found.settings is not None:
        facts["frames"] = str(found.frames)
        facts |= {key: str(value) for key, value in asdict(found.settings).items() if key not in FIXED}
    facts |= {f"{r.kind.replace('_', ' ')}": peaks(m) for r, m in zip(found.refinements, maps, strict=True)}
    page = refinement_page(
        title=f"{Path(found.model).stem} against {found.data}",
        refinements=found.refinements,
        facts=facts,
        notes=(*found.notes, *found.checks),
        turn_deg=found.turn_deg,
    )
    write_text(folder / "report.html", page)
