"""Weights and figures of merit of a refinement on F².

Definitions reproduce seven published Jana2020 refinements: R = Σ|√Io − √Ic| / Σ√Io, "obs" are I > 3σ(I),
w = 1 / (σ_F² + (0.01 √Io)²) with σ_F = σ / (2 √max(Io, 0.01 σ)), GoF = √(Σ w Δ² / (n − p)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twin.physics.lattice import Floats

OBSERVED_SIGMAS = 3.0
INSTABILITY = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FiguresOfMerit:
    """f_obs, f_calc, sigma_f, observed: (n,); R in percent."""

    f_obs: Floats
    f_calc: Floats
    sigma_f: Floats
    observed: NDArray[np.bool_]
    r_obs_percent: float
    r_all_percent: float
    wr_all_percent: float
    gof_obs: float


def intensity_weights(*, intensity: ArrayLike, sigma: ArrayLike, instability: float = INSTABILITY) -> Floats:
    """w = 1 / (σ² + (2 u I)²) of I; an error u of F is one of 2 u in I. Shape of ``intensity``."""
    i = np.clip(np.asarray(intensity, dtype=np.float64), 0.0, None)
    return np.asarray(1.0 / (np.asarray(sigma, dtype=np.float64) ** 2 + (2.0 * instability * i) ** 2))


def figures_of_merit(
    *, intensity: ArrayLike, sigma: ArrayLike, calculated: ArrayLike, parameters: int, instability: float = INSTABILITY
) -> FiguresOfMerit:
    """R factors in percent of measured (n,) against calculated (n,) intensities on the scale of the data."""
    io = np.asarray(intensity, dtype=np.float64)
    si = np.asarray(sigma, dtype=np.float64)
    f_obs = np.sqrt(np.clip(io, 0.0, None))
    f_calc = np.sqrt(np.clip(np.asarray(calculated, dtype=np.float64), 0.0, None))
    sigma_f = si / (2.0 * np.sqrt(np.maximum(io, 0.01 * si)))
    observed = io > OBSERVED_SIGMAS * si
    weights = 1.0 / (sigma_f**2 + (instability * f_obs) ** 2)
    delta = np.abs(f_obs - f_calc)
    return FiguresOfMerit(
        f_obs=f_obs,
        f_calc=f_calc,
        sigma_f=sigma_f,
        observed=observed,
        r_obs_percent=_percent(delta[observed].sum(), f_obs[observed].sum()),
        r_all_percent=_percent(delta.sum(), f_obs.sum()),
        wr_all_percent=100.0 * math.sqrt(float((weights * delta**2).sum() / max((weights * f_obs**2).sum(), 1e-300))),
        gof_obs=math.sqrt(float((weights * delta**2)[observed].sum()) / max(1, int(observed.sum()) - parameters)),
    )


def _percent(part: float, whole: float) -> float:
    return 100.0 * float(part) / float(whole) if whole > 0 else math.inf


def optimal_scale(*, intensity: ArrayLike, calculated: ArrayLike, weights: ArrayLike) -> float:
    """The scale k ≥ 0 that minimises Σ w (I − k I_c)²; 0 when nothing is calculated."""
    c, w = np.asarray(calculated, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    below = float((w * c * c).sum())
    return max(0.0, float((w * c * np.asarray(intensity, dtype=np.float64)).sum()) / below) if below > 0 else 0.0
