"""Crystals from CIF files and back. Everything that is read is checked: see :mod:`twin.files.crystal_checks`."""

from __future__ import annotations

import math
import re
from pathlib import Path

import gemmi

from twin.files.cif_fields import CifBlock, parse_number, read_blocks
from twin.files.cif_symmetry import read_hall
from twin.files.cif_writer import write_crystal
from twin.files.crystal_checks import MAX_ATOMS, check_crystal, check_values, snap_to_symmetry
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site
from twin.physics.lattice import direct_matrix

__all__ = ["read_crystal", "write_crystal"]

_ELEMENT = re.compile(r"([A-Z][a-z]?)(?:[0-9]*[+-]?[0-9]*)")
_LABEL_ELEMENT = re.compile(r"([A-Z][a-z]?)")
_SITE_TAGS = (
    "label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "U_iso_or_equiv", "B_iso_or_equiv",
)  # fmt: skip
_ANISO = ("U_11", "U_22", "U_33", "U_12", "U_13", "U_23")
Aniso = tuple[float, float, float, float, float, float]


def read_crystal(
    path: str | Path,
    *,
    expect_formula: str | None = None,
    default_u_iso_angstrom2: float = 0.005,
    cell_tolerance: float = 0.005,
    name: str | None = None,
) -> Crystal:
    """The first structure of a CIF, validated; InputError in one sentence when it cannot be used.

    ``expect_formula``: composition that the cell must have (ratios within 0.01 of the atomic fractions).
    ``default_u_iso_angstrom2``: for sites that list no displacement parameter. ``cell_tolerance``: relative deviation
    of the metric from the symmetry of the group that is let pass (measured cells are not always constrained).
    """
    blocks = read_blocks(path)
    block = next((b for b in blocks if b.column("_atom_site_fract_x")), None)
    if block is None:
        raise InputError(f"{blocks[0].source}: no loop with _atom_site_fract_x in any data block")
    cell = _read_cell(block)
    hall = read_hall(block)
    sites = _read_sites(block, default_u_iso_angstrom2)
    title = name if name is not None else re.sub(r"[^\w .+-]", "_", block.block.name)[:80]
    raw = Crystal(name=title, cell=cell, hall=hall, sites=sites)
    check_values(raw, source=block.source, cell_tolerance=cell_tolerance)
    crystal = _snapped(raw)
    check_crystal(crystal, source=block.source, expect_formula=expect_formula, cell_tolerance=cell_tolerance)
    return crystal


def _read_cell(block: CifBlock) -> Cell:
    a, b, c = (block.number(f"_cell_length_{axis}") for axis in "abc")
    alpha, beta, gamma = (block.number(f"_cell_angle_{name}") for name in ("alpha", "beta", "gamma"))
    return Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, alpha_deg=alpha, beta_deg=beta, gamma_deg=gamma)


def _read_sites(block: CifBlock, default_u: float) -> tuple[Site, ...]:
    columns = {tag: block.column(f"_atom_site_{tag}") for tag in _SITE_TAGS}
    for tag in ("label", "fract_x", "fract_y", "fract_z"):
        if columns[tag] is None:
            raise InputError(f"{block.source}: _atom_site_{tag} is missing")
    labels = columns["label"] or []
    if len(labels) > MAX_ATOMS:
        raise InputError(f"{block.source}: {len(labels)} rows under _atom_site_label; at most {MAX_ATOMS} are allowed")
    if any(column is not None and len(column) != len(labels) for column in columns.values()):
        raise InputError(f"{block.source}: the columns of the _atom_site_ loop differ in length")
    repeated = next((label for i, label in enumerate(labels) if label in labels[:i]), None)
    if repeated is not None:
        raise InputError(f"{block.source}: _atom_site_label {repeated[:20]!r} occurs twice; labels must differ")
    aniso = _read_aniso(block, set(labels))
    return tuple(_read_site(block, columns, index, aniso, default_u) for index in range(len(labels)))


def _read_site(
    block: CifBlock, columns: dict[str, list[str] | None], index: int, aniso: dict[str, Aniso], default_u: float
) -> Site:
    def number(tag: str, default: float | None = None) -> float:
        column = columns[tag]
        if default is not None and (column is None or column[index] in ("?", ".")):
            return default
        return parse_number((column or [])[index], source=block.source, tag=f"_atom_site_{tag}")

    label = (columns["label"] or [])[index]
    fract = (number("fract_x"), number("fract_y"), number("fract_z"))
    u_iso = number("U_iso_or_equiv", number("B_iso_or_equiv", 8 * math.pi**2 * default_u) / (8 * math.pi**2))
    return Site(
        label=label,
        element=_element((columns["type_symbol"] or columns["label"] or [])[index], label, block),
        fract=fract,
        occupancy=number("occupancy", 1.0),
        u_iso_angstrom2=u_iso,
        u_aniso_angstrom2=aniso.get(label),
    )


def _element(text: str, label: str, block: CifBlock) -> str:
    """Element of a type symbol ('Ti4+', 'Ti'), or of a label ('TI1', 'O2a') when that says no more."""
    match = _ELEMENT.fullmatch(text) or _LABEL_ELEMENT.match(text)
    symbol = "" if match is None else match.group(1)
    if gemmi.Element(symbol).atomic_number == 0 and len(symbol) == 2:
        symbol = symbol[0]
    if not symbol or gemmi.Element(symbol).atomic_number == 0:
        raise InputError(f"{block.source}: site {label[:20]} has the unknown element {text[:20]!r}")
    return "H" if symbol == "D" else symbol


def _read_aniso(block: CifBlock, labels: set[str]) -> dict[str, Aniso]:
    names = block.column("_atom_site_aniso_label")
    if names is None:
        return {}
    table: list[list[float]] = []
    for component in _ANISO:
        tag = f"_atom_site_aniso_{component}"
        column = block.column(tag)
        if column is None or len(column) != len(names):
            raise InputError(f"{block.source}: {tag} is missing or shorter than _atom_site_aniso_label")
        table.append([parse_number(v, source=block.source, tag=tag) for v in column])
    unknown = next((n for n in names if n not in labels), None)
    if unknown is not None:
        raise InputError(f"{block.source}: _atom_site_aniso_label {unknown[:20]!r} is not among the sites")
    return {n: (u[0], u[1], u[2], u[3], u[4], u[5]) for n, u in zip(names, zip(*table, strict=True), strict=True)}


def _snapped(crystal: Crystal) -> Crystal:
    """Sites that lie on a symmetry element within 0.02 Å are moved onto it."""
    direct = direct_matrix(crystal.cell)
    sites = []
    for site in crystal.sites:
        x, y, z = (float(v) for v in snap_to_symmetry(site.fract, crystal.hall, direct=direct))
        sites.append(Site(
            label=site.label, element=site.element, fract=(x, y, z), occupancy=site.occupancy,
            u_iso_angstrom2=site.u_iso_angstrom2, u_aniso_angstrom2=site.u_aniso_angstrom2))  # fmt: skip
    return Crystal(name=crystal.name, cell=crystal.cell, hall=crystal.hall, sites=tuple(sites))
