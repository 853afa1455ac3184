"""The difference potential of a refinement: what the data would like to have added to the model, in volts.

A frame's intensity is no square of one structure factor. But if F_h is changed by the fraction x_h, the amplitude on
every frame changes by about that fraction, so each unique reflection gets the x_h that fits its observations best:
Σ w F_c (F_o − F_c) / (Σ w F_c² + 1), the 1 being a prior that x_h is of order one, which keeps reflections quiet that
are hardly there. For averaged data, where F_c is |F_h| itself, this is the usual F_o − F_c map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.refinement.figures import INSTABILITY
from pipeline.types import Refinement
from twin.physics.lattice import Floats, cell_volume_angstrom3, miller_indices, reciprocal_matrix
from twin.physics.structure_factors import structure_factors
from twin.physics.symmetry import asymmetric_hkl

VOLT_ANGSTROM2 = 47.8780  # h²/(2π m e): V_g = this · F_g / Ω, with F of rest-mass electron scattering factors in Å
_OVERSAMPLING = 3.0  # grid points in the shortest d-spacing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DifferenceMap:
    """potential_volt: (u, v, w) over one cell, u along a. highest, lowest: value in V and its fractional position."""

    potential_volt: Floats
    highest: tuple[float, tuple[float, float, float]]
    lowest: tuple[float, tuple[float, float, float]]
    sigma_volt: float


def relative_corrections(refinement: Refinement, *, instability: float = INSTABILITY) -> dict[tuple[int, ...], float]:
    """x_h of each unique reflection (Friedel mates are one)."""
    r = refinement
    unique, member = np.unique(asymmetric_hkl(r.hkl, r.crystal.hall, friedel=True), axis=0, return_inverse=True)
    member = member.reshape(-1)
    weight = 1.0 / np.maximum(r.sigma_f**2 + (instability * r.f_obs) ** 2, 1e-300)
    gain = np.bincount(member, weights=weight * r.f_calc * (r.f_obs - r.f_calc), minlength=len(unique))
    power = np.bincount(member, weights=weight * r.f_calc**2, minlength=len(unique))
    return {tuple(h): float(x) for h, x in zip(unique.tolist(), gain / (power + 1.0), strict=True)}


def difference_map(refinement: Refinement) -> DifferenceMap:
    """ΔV(r) = (h²/2πme Ω) Σ x_h F_h exp(−2πi h·r) over the reflections of the refinement and their equivalents."""
    crystal = refinement.crystal
    correction = relative_corrections(refinement)
    b = reciprocal_matrix(crystal.cell)
    reach = float(np.linalg.norm(refinement.hkl @ b.T, axis=1).max()) * (1 + 1e-9)
    hkl = miller_indices(reciprocal=b, g_max_per_angstrom=reach)
    keys = asymmetric_hkl(hkl, crystal.hall, friedel=True)
    x = np.array([correction.get(tuple(h), 0.0) for h in keys.tolist()])
    hkl, x = hkl[x != 0.0], x[x != 0.0]
    f = x * structure_factors(crystal=crystal, hkl=hkl)
    shape = tuple(_even(_OVERSAMPLING * length * reach) for length in crystal.cell.parameters[:3])
    grid = np.zeros(shape, dtype=np.complex128)
    grid[tuple((hkl % shape).T)] = f * VOLT_ANGSTROM2 / cell_volume_angstrom3(crystal.cell)
    potential: Floats = np.fft.fftn(grid).real
    return DifferenceMap(
        potential_volt=potential,
        highest=_extreme(potential, int(potential.argmax())),
        lowest=_extreme(potential, int(potential.argmin())),
        sigma_volt=float(potential.std()),
    )


def _even(points: float) -> int:
    return max(8, 2 * int(np.ceil(points / 2)))


def _extreme(potential: Floats, index: int) -> tuple[float, tuple[float, float, float]]:
    place = np.unravel_index(index, potential.shape)
    x, y, z = (float(i / n) for i, n in zip(place, potential.shape, strict=True))
    return float(potential.flat[index]), (x, y, z)
