"""Crystals as CIF text: cell, group in three ways, operations, sites, displacement tensors, s.u.s in parentheses.

Standard uncertainties are given with two digits up to 19 and one above ("rule of 19", Acta Cryst. notes for authors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np

from twin.files.atomic import write_text
from twin.files.crystal_checks import composition, density_g_cm3
from twin.model.crystal import Crystal, Site
from twin.physics.lattice import cell_volume_angstrom3
from twin.physics.symmetry import operations, site_multiplicity

_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_CELL_SU = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_deg", "beta_deg", "gamma_deg")
_ANISO = ("u11", "u22", "u33", "u12", "u13", "u23")


def write_crystal(
    crystal: Crystal,
    path: str | Path | None = None,
    *,
    su: Mapping[str, float] | None = None,
    extra: Mapping[str, str | int | float] | None = None,
    comment: str = "",
) -> str:
    """CIF text of ``crystal``, also written to ``path`` when that is given.

    ``su``: standard uncertainties by parameter name ('O1.x', 'O1.u_iso', 'O1.u11', 'Ti1.occupancy', 'cell.a_angstrom').
    ``extra``: further tags and values of the data block. ``comment``: lines put before it, each behind a '#'.
    """
    given = su or {}
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines.append("data_" + ("".join(c if c.isalnum() or c in "_.-+" else "_" for c in crystal.name) or "crystal"))
    lines += _head(crystal, given)
    lines += [f"{tag if tag.startswith('_') else '_' + tag} {_quote(value)}" for tag, value in (extra or {}).items()]
    lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{t}'" for t in _triplets(crystal.hall))]
    lines += _site_loop(crystal, given) + _aniso_loop(crystal, given)
    text = "\n".join(lines) + "\n"
    if path is not None:
        write_text(Path(path), text)
    return text


def format_su(value: float, su: float | None, *, decimals: int) -> str:
    """'0.12345' without an s.u.; '0.1234(12)' with one."""
    if su is None or not math.isfinite(su) or su <= 0.0:
        return f"{value:.{decimals}f}"
    places = 1 - math.floor(math.log10(su))
    if round(su * 10.0**places) > 19:
        places -= 1
    if places > 12:
        return f"{value:.{decimals}f}"
    if places <= 0:
        return f"{value:.0f}({round(su)})"
    return f"{value:.{places}f}({round(su * 10.0**places)})"


def _head(crystal: Crystal, su: Mapping[str, float]) -> list[str]:
    group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(crystal.hall))
    counts = composition(crystal)
    lines = [
        f"_cell_{tag} {format_su(value, su.get('cell.' + name), decimals=6)}"
        for tag, name, value in zip(_CELL_TAGS, _CELL_SU, crystal.cell.parameters, strict=True)
    ]
    lines.append(f"_cell_volume {cell_volume_angstrom3(crystal.cell):.4f}")
    lines.append(f"_exptl_crystal_density_diffrn {density_g_cm3(crystal):.4f}")
    formula = " ".join(f"{e}{n:.6g}" for e, n in sorted(counts.items()))
    lines += ["_cell_formula_units_Z 1", f"_chemical_formula_sum '{formula}'"]
    lines.append(f"_space_group_name_Hall {_quote(crystal.hall)}")
    if group is not None:
        lines += [f"_space_group_name_H-M_alt {_quote(group.xhm())}", f"_space_group_IT_number {group.number}"]
    return lines


def _triplets(hall: str) -> list[str]:
    ops = operations(hall)
    triplets = []
    for rotation, translation in zip(ops.rotations, ops.translations, strict=True):
        op = gemmi.Op()
        op.rot = (rotation * gemmi.Op.DEN).tolist()
        op.tran = np.rint(translation * gemmi.Op.DEN).astype(int).tolist()
        triplets.append(op.triplet())
    return triplets


def _site_loop(crystal: Crystal, su: Mapping[str, float]) -> list[str]:
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "site_symmetry_multiplicity",
            "adp_type", "U_iso_or_equiv")  # fmt: skip
    lines = ["loop_", *(f"_atom_site_{tag}" for tag in tags)]
    for site in crystal.sites:
        position = " ".join(
            format_su(v, su.get(f"{site.label}.{axis}"), decimals=8) for axis, v in zip("xyz", site.fract, strict=True)
        )
        occupancy = format_su(site.occupancy, su.get(f"{site.label}.occupancy"), decimals=6)
        u_iso = format_su(site.u_iso_angstrom2, su.get(f"{site.label}.u_iso"), decimals=6)
        kind = "Uiso" if site.u_aniso_angstrom2 is None else "Uani"
        multiplicity = site_multiplicity(site.fract, crystal.hall)
        lines.append(f"{_quote(site.label)} {site.element} {position} {occupancy} {multiplicity} {kind} {u_iso}")
    return lines


def _aniso_loop(crystal: Crystal, su: Mapping[str, float]) -> list[str]:
    sites = [site for site in crystal.sites if site.u_aniso_angstrom2 is not None]
    if not sites:
        return []
    lines = ["loop_", "_atom_site_aniso_label", *(f"_atom_site_aniso_U_{name[1:]}" for name in _ANISO)]
    return lines + [_aniso_row(site, su) for site in sites]


def _aniso_row(site: Site, su: Mapping[str, float]) -> str:
    values = site.u_aniso_angstrom2 or ()
    texts = (format_su(v, su.get(f"{site.label}.{name}"), decimals=6) for name, v in zip(_ANISO, values, strict=True))
    return " ".join((_quote(site.label), *texts))


def _quote(value: str | int | float) -> str:
    """A CIF value: quoted where its characters ask for it, a text field where quotes are not enough."""
    if isinstance(value, (int, float)):
        return f"{value:.10g}" if isinstance(value, float) else str(value)
    text = value.replace("\r", "")
    if "\n" in text or ("'" in text and '"' in text):
        return "\n;" + text.replace("\n;", "\n ;") + "\n;"
    return str(gemmi.cif.quote(text))
