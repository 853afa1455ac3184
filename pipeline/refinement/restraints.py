"""Restraints for molecules: bonds near the lengths that the model came with, neighbours with similar displacements.

Each is an observation: r = (wanted − found) / s.d., so that with weights in units of the mean residual of the data one
restraint violated by one s.d. weighs as much as one reflection with the mean residual (SHELXL's DFIX and SIMU;
Sheldrick, Acta Cryst. C71 (2015) 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from pipeline.refinement.parameters import SLOTS, Parametrisation, slots_of
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, direct_matrix
from twin.physics.symmetry import operations

_WIDTH = len(SLOTS)
_STRETCH = 1.15  # a bond is no longer than this times the sum of the covalent radii


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BondRestraint:
    """Distance between site ``first`` and the image rotation · x + translation of site ``second``."""

    first: int
    second: int
    rotation: Floats
    translation: Floats
    length_angstrom: float


def bonds_of(crystal: Crystal) -> tuple[BondRestraint, ...]:
    """Every different bond of the asymmetric unit, with its length in ``crystal``; mixed sites have none."""
    ops, direct = operations(crystal.hall), direct_matrix(crystal.cell)
    radius = [gemmi.Element(site.element).covalent_r for site in crystal.sites]
    found: list[BondRestraint] = []
    seen: set[tuple[int, int, int]] = set()
    cells = np.array(list(np.ndindex(3, 3, 3))) - 1
    for i, a in enumerate(crystal.sites):
        for j, b in enumerate(crystal.sites[i:], start=i):
            for rotation, shift in zip(ops.rotations, ops.translations, strict=True):
                image = rotation @ np.array(b.fract) + shift - np.array(a.fract)
                whole = np.round(image)
                for cell in cells:
                    length = float(np.linalg.norm(direct @ (image - whole + cell)))
                    key = (i, j, round(1e4 * length))
                    if 0.5 < length < _STRETCH * (radius[i] + radius[j]) and key not in seen:
                        seen.add(key)
                        found.append(
                            BondRestraint(first=i, second=j, rotation=rotation.astype(np.float64),
                                          translation=shift - whole + cell, length_angstrom=length)
                        )  # fmt: skip
    return tuple(found)


def restraint_rows(
    parametrisation: Parametrisation,
    values: Floats,
    bonds: tuple[BondRestraint, ...],
    *,
    bond_sd_angstrom: float | None,
    u_sd_angstrom2: float | None,
) -> tuple[Floats, Floats]:
    """(r (R,), −∂r/∂p (R, P)): bonds against their lengths, U_eq of bonded sites against each other."""
    slots, matrix = slots_of(parametrisation, values), parametrisation.matrix
    direct = direct_matrix(parametrisation.crystal.cell)
    residual: list[float] = []
    rows: list[Floats] = []
    for bond in bonds if bond_sd_angstrom else ():
        apart = direct @ (bond.rotation @ slots[bond.second, :3] + bond.translation - slots[bond.first, :3])
        length = float(np.linalg.norm(apart))
        along = apart @ direct / max(length, 1e-9)
        moves = bond.rotation @ _block(matrix, bond.second, 0, 3) - _block(matrix, bond.first, 0, 3)
        residual.append((bond.length_angstrom - length) / float(bond_sd_angstrom or 1.0))
        rows.append(along @ moves / float(bond_sd_angstrom or 1.0))
    for bond in bonds if u_sd_angstrom2 else ():
        if bond.first == bond.second:
            continue
        first, second = (parametrisation.equivalent_u_row(i) for i in (bond.first, bond.second))
        own, other = (_block(matrix, i, 0, _WIDTH) for i in (bond.first, bond.second))
        difference = float(second @ slots[bond.second] - first @ slots[bond.first])
        residual.append(-difference / float(u_sd_angstrom2 or 1.0))
        rows.append((second @ other - first @ own) / float(u_sd_angstrom2 or 1.0))
    return np.array(residual), np.array(rows).reshape(-1, matrix.shape[1])


def _block(matrix: Floats, site: int, start: int, stop: int) -> Floats:
    return matrix[site * _WIDTH + start : site * _WIDTH + stop]
