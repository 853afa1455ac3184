"""Is this crystal possible? Checks on values that every crystal passes before anything is computed from it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import gemmi
import numpy as np
from scipy.spatial import cKDTree

from twin.files.cif_symmetry import METRIC_TOLERANCE, check_metric
from twin.files.errors import InputError
from twin.model.crystal import Crystal, Site
from twin.physics.lattice import Floats, cell_volume_angstrom3, direct_matrix
from twin.physics.structure_factors import P1Atoms, expand_to_p1
from twin.physics.symmetry import operations

MAX_ATOMS = 5000
MIN_DISTANCE_ANGSTROM = 0.7
MAX_SITE_SUM = 1.01
DENSITY_LIMITS_G_CM3 = (0.5, 25.0)
LENGTH_LIMITS_ANGSTROM = (2.0, 200.0)
ANGLE_LIMITS_DEG = (30.0, 150.0)
U_LIMITS_ANGSTROM2 = (-0.2, 1.0)  # a refinement may leave a displacement parameter slightly negative
FORMULA_TOLERANCE = 0.01  # atomic fraction
_DALTON_PER_ANGSTROM3_IN_G_CM3 = 1.66053906660
_FORMULA_PART = re.compile(r"\s*([A-Z][a-z]?)([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*")


def check_crystal(
    crystal: Crystal, *, source: str, expect_formula: str | None = None, cell_tolerance: float = METRIC_TOLERANCE
) -> None:
    """Raise InputError with one sentence unless the crystal is physically possible (and has the expected formula)."""
    check_values(crystal, source=source, cell_tolerance=cell_tolerance)
    atoms = expand_to_p1(crystal)
    if len(atoms.element) > MAX_ATOMS:
        raise InputError(f"{source}: {len(atoms.element)} atoms in the cell; at most {MAX_ATOMS} are allowed")
    _check_density(crystal, atoms, source)
    _check_distances(crystal, atoms, source)
    if expect_formula is not None:
        _check_formula(atoms, expect_formula, source)


def check_values(crystal: Crystal, *, source: str, cell_tolerance: float = METRIC_TOLERANCE) -> None:
    """The part of the checks that looks at single numbers: cell, its symmetry, each site by itself."""
    _check_cell(crystal, source)
    check_metric(crystal.cell, crystal.hall, source=source, tolerance=cell_tolerance)
    if not crystal.sites:
        raise InputError(f"{source}: no atoms; at least one row with _atom_site_fract_x is needed")
    for site in crystal.sites:
        _check_site(site, source)
    if len(crystal.sites) > MAX_ATOMS:
        raise InputError(f"{source}: {len(crystal.sites)} sites; at most {MAX_ATOMS} are allowed")


def parse_formula(text: str) -> dict[str, float]:
    """'In1.784 Sn0.216 O3' -> {'In': 1.784, 'Sn': 0.216, 'O': 3.0}."""
    counts: dict[str, float] = {}
    position = 0
    while position < len(text):
        match = _FORMULA_PART.match(text, position)
        if match is None or not match.group(1) or gemmi.Element(match.group(1)).atomic_number == 0:
            raise InputError(f"formula {text[:60]!r} cannot be read; use one such as 'In1.784 Sn0.216 O3'")
        counts[match.group(1)] = counts.get(match.group(1), 0.0) + float(match.group(2) or 1.0)
        position = match.end()
    if sum(counts.values()) <= 0.0:
        raise InputError(f"formula {text[:60]!r} names no atoms")
    return counts


def composition(crystal: Crystal) -> dict[str, float]:
    """Atoms of each element in one unit cell, occupancies counted."""
    return _counts(expand_to_p1(crystal))


def density_g_cm3(crystal: Crystal) -> float:
    """Mass density from cell, occupancies and standard atomic weights."""
    mass = sum(n * gemmi.Element(e).weight for e, n in composition(crystal).items())
    return mass * _DALTON_PER_ANGSTROM3_IN_G_CM3 / cell_volume_angstrom3(crystal.cell)


def snap_to_symmetry(fract: Iterable[float], hall: str, *, direct: Floats, tolerance_angstrom: float = 0.02) -> Floats:
    """Move a position that almost lies on a symmetry element onto it (coordinates such as 0.3333), (3,)."""
    x = np.array(list(fract), dtype=np.float64)
    ops = operations(hall)
    for _ in range(2):
        shift = ops.rotations @ x + ops.translations - x
        shift -= np.round(shift)
        near = np.linalg.norm(shift @ direct.T, axis=1) < tolerance_angstrom
        x = x + shift[near].mean(axis=0)
    return x


def _counts(atoms: P1Atoms) -> dict[str, float]:
    counts: dict[str, float] = {}
    for element, occupancy in zip(atoms.element, atoms.occupancy, strict=True):
        counts[element] = counts.get(element, 0.0) + float(occupancy)
    return counts


def _check_cell(crystal: Crystal, source: str) -> None:
    lengths, angles = np.array(crystal.cell.parameters[:3]), np.array(crystal.cell.parameters[3:])
    for name, value in zip("abc", lengths, strict=True):
        if not LENGTH_LIMITS_ANGSTROM[0] <= value <= LENGTH_LIMITS_ANGSTROM[1]:
            raise InputError(f"{source}: _cell_length_{name} is {value:g}; 2 to 200 Å are allowed")
    for name, value in zip(("alpha", "beta", "gamma"), angles, strict=True):
        if not ANGLE_LIMITS_DEG[0] <= value <= ANGLE_LIMITS_DEG[1]:
            raise InputError(f"{source}: _cell_angle_{name} is {value:g}; 30 to 150 degrees are allowed")
    c = np.cos(np.radians(angles))
    if 1 - c @ c + 2 * c.prod() < 1e-3:
        raise InputError(f"{source}: the cell angles {angles[0]:g}, {angles[1]:g}, {angles[2]:g} span no volume")


def _check_site(site: Site, source: str) -> None:
    if gemmi.Element(site.element).atomic_number == 0:
        raise InputError(f"{source}: site {site.label} has the unknown element {site.element[:10]!r}")
    if gemmi.Element(site.element).c4322 is None:
        raise InputError(f"{source}: no electron scattering factor for element {site.element!r} of site {site.label}")
    if not np.all(np.isfinite(site.fract)) or np.max(np.abs(site.fract)) > 10:
        raise InputError(f"{source}: site {site.label} has coordinates {site.fract}; -10 to 10 is allowed")
    if not 0.0 < site.occupancy <= 1.0:
        raise InputError(f"{source}: the occupancy of {site.label} is {site.occupancy:g}; above 0 up to 1 is allowed")
    for value in (site.u_iso_angstrom2, *(site.u_aniso_angstrom2 or ())):
        if not U_LIMITS_ANGSTROM2[0] <= value <= U_LIMITS_ANGSTROM2[1]:
            raise InputError(f"{source}: a displacement of {site.label} is {value:g} Å²; -0.2 to 1 is allowed")


def _check_density(crystal: Crystal, atoms: P1Atoms, source: str) -> None:
    mass = sum(n * gemmi.Element(e).weight for e, n in _counts(atoms).items())
    density = mass * _DALTON_PER_ANGSTROM3_IN_G_CM3 / cell_volume_angstrom3(crystal.cell)
    low, high = DENSITY_LIMITS_G_CM3
    if not low <= density <= high:
        raise InputError(f"{source}: the density is {density:.3g} g/cm³; {low:g} to {high:g} is allowed")


def _check_distances(crystal: Crystal, atoms: P1Atoms, source: str) -> None:
    """Atoms closer than the limit must be alternatives of one another: their occupancies may not exceed one."""
    direct = direct_matrix(crystal.cell)
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    base = atoms.fract % 1.0
    images = (base[:, None, :] + shifts[None, :, :]).reshape(-1, 3)
    owner = np.repeat(np.arange(len(base)), len(shifts))
    margin = MIN_DISTANCE_ANGSTROM * np.linalg.norm(np.linalg.inv(direct), axis=1)
    close = np.all((images > -margin) & (images < 1 + margin), axis=1)
    images, owner = images[close], owner[close]
    tree = cKDTree(images @ direct.T)
    for index, position in enumerate(base @ direct.T):
        neighbours = list(tree.query_ball_point(position, MIN_DISTANCE_ANGSTROM))
        if float(np.sum(atoms.occupancy[owner[neighbours]])) > MAX_SITE_SUM:
            labels = sorted({crystal.sites[atoms.site[owner[n]]].label for n in neighbours})
            first = crystal.sites[atoms.site[index]].label
            raise InputError(
                f"{source}: at site {first} the occupancies of atoms closer than {MIN_DISTANCE_ANGSTROM} Å "
                f"({', '.join(labels[:4])}) sum to more than {MAX_SITE_SUM}"
            )


def _check_formula(atoms: P1Atoms, expected: str, source: str) -> None:
    want, have = parse_formula(expected), _counts(atoms)
    total_want, total_have = sum(want.values()), sum(have.values())
    for element in sorted(set(want) | set(have)):
        if abs(want.get(element, 0.0) / total_want - have.get(element, 0.0) / total_have) > FORMULA_TOLERANCE:
            found = " ".join(f"{e}{n:.4g}" for e, n in sorted(have.items()))
            raise InputError(f"{source}: the cell holds {found}, which is not the expected formula {expected}")
