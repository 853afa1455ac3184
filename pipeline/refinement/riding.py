"""Hydrogen atoms that ride: they move with the atom to which they are bonded, and their U is 1.2 times its U_eq.

Electrons see hydrogen well, but few data sets carry ten free numbers for each; SHELXL's AFIX 3 and U = 1.2 U_eq
(Sheldrick, Acta Cryst. C71 (2015) 3) are the usual way out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, direct_matrix
from twin.physics.symmetry import operations

U_FACTOR = 1.2
_LONGEST_BOND_ANGSTROM = 1.4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bond:
    """site: index of the hydrogen; parent: that of the atom; rotation: (3, 3) of the image of the parent that it is."""

    site: int
    parent: int
    rotation: Floats


def hydrogen_bonds(crystal: Crystal) -> tuple[Bond, ...]:
    """The nearest other atom of every hydrogen, under symmetry; not of hydrogens without one nearer than 1.4 Å."""
    ops = operations(crystal.hall)
    direct = direct_matrix(crystal.cell)
    heavy = [i for i, site in enumerate(crystal.sites) if site.element not in ("H", "D")]
    found = []
    for i, site in enumerate(crystal.sites):
        if site.element not in ("H", "D"):
            continue
        best = (_LONGEST_BOND_ANGSTROM, -1, np.eye(3))
        for parent in heavy:
            images = ops.rotations @ np.array(crystal.sites[parent].fract) + ops.translations
            apart = images - np.array(site.fract)
            distance = np.linalg.norm((apart - np.round(apart)) @ direct.T, axis=1)
            nearest = int(distance.argmin())
            if distance[nearest] < best[0]:
                best = (float(distance[nearest]), parent, ops.rotations[nearest].astype(np.float64))
        if best[1] >= 0:
            found.append(Bond(site=i, parent=best[1], rotation=best[2]))
    return tuple(found)
