"""Bond lengths and angles of a refined structure with their standard uncertainties, for its CIF.

Atoms are bonded when they are nearer than the sum of their covalent radii and 0.4 Å; metals not with each other where
there are other elements. Uncertainties are propagated from those of the coordinates, without correlations between them
and without those of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import gemmi
import numpy as np

from twin.model.crystal import Crystal
from twin.physics.lattice import Floats, direct_matrix
from twin.physics.symmetry import operations

_SLACK_ANGSTROM = 0.4
_SAME_SITE_ANGSTROM = 0.4
_STEP = 1e-5  # of fractional coordinates, for derivatives


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbour:
    """An image of ``site`` bonded to ``centre``: R x + t of operation ``number`` (from 1) and a lattice ``shift``."""

    centre: int
    site: int
    rotation: Floats
    translation: Floats
    number: int
    shift: tuple[int, int, int]

    @property
    def code(self) -> str:
        """As CIF has it: '.' for the atom itself, else n_klm with 5 for no lattice vector."""
        plain = self.number == 1 and self.shift == (0, 0, 0)
        return "." if plain else f"{self.number}_" + "".join(str(5 + k) for k in self.shift)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """A length in Å (two labels) or an angle in degrees (three, its corner in the middle), and its s.u. (0: none)."""

    labels: tuple[str, ...]
    codes: tuple[str, ...]
    value: float
    su: float


def neighbours(crystal: Crystal) -> tuple[Neighbour, ...]:
    """Every bond from every site of the list."""
    ops, direct = operations(crystal.hall), direct_matrix(crystal.cell)
    at = np.array([site.fract for site in crystal.sites])
    elements = [gemmi.Element(site.element) for site in crystal.sites]
    radii, metal = [e.covalent_r for e in elements], [e.is_metal for e in elements]
    cells = np.array(list(product((-1, 0, 1), repeat=3)))
    found = []
    for i in range(len(at)):
        for j in range(len(at)):
            if metal[i] and metal[j] and not all(metal):
                continue
            seen: list[Floats] = []
            for number, (r, t) in enumerate(zip(ops.rotations, ops.translations, strict=True), start=1):
                image = r @ at[j] + t
                base = np.round(at[i] - image).astype(int)
                for cell in cells + base:
                    distance = float(np.linalg.norm(direct @ (image + cell - at[i])))
                    place = image + cell
                    if not _SAME_SITE_ANGSTROM < distance < radii[i] + radii[j] + _SLACK_ANGSTROM:
                        continue
                    if any(np.linalg.norm(direct @ (place - other)) < _SAME_SITE_ANGSTROM for other in seen):
                        continue
                    seen.append(place)
                    a, b, c = (int(k) for k in cell)
                    found.append(Neighbour(centre=i, site=j, rotation=r, translation=t, number=number, shift=(a, b, c)))
    return tuple(found)


def bond_lengths(crystal: Crystal, su: Mapping[str, float]) -> list[Measured]:
    """Each length once for each pair of sites and image of the second one."""
    direct, out = direct_matrix(crystal.cell), []
    for n in neighbours(crystal):
        if n.site < n.centre:
            continue

        def length(at: Floats, n: Neighbour = n) -> float:
            return float(np.linalg.norm(direct @ _bond(at, n)))

        out.append(_measured(crystal, su, (n.centre, n.site), (".", n.code), length))
    return out


def bond_angles(crystal: Crystal, su: Mapping[str, float]) -> list[Measured]:
    """Angles between all pairs of bonds of each site."""
    direct, out = direct_matrix(crystal.cell), []
    bonds = neighbours(crystal)
    for centre in range(len(crystal.sites)):
        for a, b in combinations([n for n in bonds if n.centre == centre], 2):

            def angle(at: Floats, a: Neighbour = a, b: Neighbour = b) -> float:
                u, v = direct @ _bond(at, a), direct @ _bond(at, b)
                return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)))

            out.append(_measured(crystal, su, (a.site, centre, b.site), (a.code, ".", b.code), angle))
    return out


def _bond(at: Floats, n: Neighbour) -> Floats:
    return np.asarray(n.rotation @ at[n.site] + n.translation + np.array(n.shift) - at[n.centre])


def _measured(
    crystal: Crystal,
    su: Mapping[str, float],
    sites: tuple[int, ...],
    codes: tuple[str, ...],
    f: Callable[[Floats], float],
) -> Measured:
    at = np.array([site.fract for site in crystal.sites])
    variance = 0.0
    for i, axis in product(sorted(set(sites)), range(3)):
        sigma = su.get(f"{crystal.sites[i].label}.{'xyz'[axis]}", 0.0)
        if sigma > 0:
            step = np.zeros_like(at)
            step[i, axis] = _STEP
            variance += (sigma * (f(at + step) - f(at - step)) / (2 * _STEP)) ** 2
    labels = tuple(crystal.sites[i].label for i in sites)
    return Measured(labels=labels, codes=codes, value=f(at), su=float(np.sqrt(variance)))
