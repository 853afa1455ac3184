"""Are the reflections that a group forbids dark? Ratios of mean intensities by shell of resolution.

Multiple scattering lights forbidden reflections with significance, so I/σ says nothing; <I_absent>/<I_allowed> stays
small. Groups that differ by the inversion or a two-fold axis alone (Bbmm, Bb2₁m, Bbm2) share their absences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import systematically_absent

SHELLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """count: forbidden reflections measured. shells: <I_absent>/<I_allowed> of each shell that has both kinds.

    ratio: mean of the shells weighted by their number of forbidden reflections (0 where nothing is forbidden).
    """

    count: int
    ratio: float
    shells: tuple[float, ...]


def absences(
    *, hkl: Ints, g: Floats, e_squared: Floats, measured: NDArray[np.bool_], hall: str, shells: int = SHELLS
) -> Absences:
    """Ratios for one setting; hkl (n, 3), g (n,) Å⁻¹, e_squared (n,) intensities (normalised or not), measured (n,)."""
    forbidden = systematically_absent(hkl, hall)
    dark = np.flatnonzero(forbidden & measured)
    if len(dark) == 0:
        return Absences(count=0, ratio=0.0, shells=())
    edges = np.quantile(g[dark], np.linspace(0.0, 1.0, shells + 1))
    shell = np.clip(np.searchsorted(edges, g, side="right") - 1, 0, shells - 1)
    allowed = measured & ~forbidden
    ratios, weights = [], []
    for k in range(shells):
        absent = dark[shell[dark] == k]
        present = allowed & (shell == k)
        if len(absent) and present.any():
            level = float(e_squared[present].mean())
            ratios.append(float(e_squared[absent].mean()) / max(level, 1e-12))
            weights.append(float(len(absent)))
    ratio = float(np.average(ratios, weights=weights)) if ratios else 0.0
    return Absences(count=len(dark), ratio=ratio, shells=tuple(ratios))
