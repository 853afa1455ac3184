"""What one extinction parameter would make of a kinematical refinement, its structure left as it is.

SHELXL's correction (Sheldrick, Acta Cryst. C71 (2015) 3), which Jana's kinematical refinement of albite has:
F_c* = k F_c [1 + 0.001 x F_c² λ³ / sin 2θ]^(−1/4), with F_c in Å here. Refinements of ours do not have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from pipeline.refinement.figures import INSTABILITY
from pipeline.types import Refinement
from twin.physics.lattice import Floats, reciprocal_matrix
from twin.physics.structure_factors import structure_factors

_LARGEST = 1e7


@dataclass(frozen=True, slots=True, kw_only=True)
class Extinction:
    """coefficient: x; wr_percent, r_obs_percent: (without it, with it), by the same scales on F, one a frame."""

    coefficient: float
    wr_percent: tuple[float, float]
    r_obs_percent: tuple[float, float]


def fit_extinction(refinement: Refinement, *, wavelength_angstrom: float) -> Extinction:
    """x and one scale a frame by least squares on F, w = 1/(σ_F² + (0.01 F_o)²); all else as it was refined."""
    crystal = refinement.crystal
    factor = np.abs(structure_factors(crystal=crystal, hkl=refinement.hkl))
    g = np.linalg.norm(refinement.hkl @ reciprocal_matrix(crystal.cell).T, axis=1)
    strength = 0.001 * factor**2 * wavelength_angstrom**3 / np.sin(2.0 * np.arcsin(0.5 * wavelength_angstrom * g))
    weights = 1.0 / (refinement.sigma_f**2 + (INSTABILITY * refinement.f_obs) ** 2)
    _, frame = np.unique(refinement.frame, return_inverse=True)

    def calculated(x: float) -> Floats:
        f = refinement.f_calc * (1.0 + x * strength) ** -0.25
        own = np.bincount(frame, weights=weights * f * refinement.f_obs) / np.maximum(
            np.bincount(frame, weights=weights * f * f), 1e-300
        )
        return np.asarray(own[frame] * f)

    def wr_percent(x: float) -> float:
        misfit = (weights * (refinement.f_obs - calculated(x)) ** 2).sum()
        return 100.0 * float(np.sqrt(misfit / (weights * refinement.f_obs**2).sum()))

    def r_percent(x: float) -> float:
        use = refinement.observed
        return 100.0 * float(np.abs(refinement.f_obs - calculated(x))[use].sum() / refinement.f_obs[use].sum())

    found = minimize_scalar(
        lambda root: wr_percent(float(root) ** 2), bounds=(0.0, _LARGEST**0.5), method="bounded"
    )  # a root, so that zero is within reach
    x = float(found.x) ** 2
    return Extinction(
        coefficient=x, wr_percent=(wr_percent(0.0), wr_percent(x)), r_obs_percent=(r_percent(0.0), r_percent(x))
    )
