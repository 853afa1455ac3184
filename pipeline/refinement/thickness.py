"""Distributions of the thickness under the beam, as quadratures on t = T·u with 0 < u ≤ 1.

Integrated intensities of a particle smaller than the beam are averages of |ψ_g(t)|² over its projected area. A sphere
(and any ellipsoid) of thickness T at its middle has p(t) = 2t/T² exactly; a cylinder lying across the beam has
u = √(1 − v²) with v uniform in 0…1; a wedge is uniform.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pipeline.refinement.settings import ThicknessModel
from twin.physics.lattice import Floats


@lru_cache(maxsize=64)
def thickness_quadrature(*, model: ThicknessModel, nodes: int) -> tuple[Floats, Floats]:
    """(u (J,), weights (J,)): weights sum to 1. Gauss-Legendre in the variable in which the density is uniform or u.

    Kept and shared, so read-only: the nodes cost as much as a third of a thin frame.
    """
    u, weights = _quadrature(model, nodes)
    u.setflags(write=False)
    weights.setflags(write=False)
    return u, weights


def _quadrature(model: ThicknessModel, nodes: int) -> tuple[Floats, Floats]:
    if model == "slab":
        return np.ones(1), np.ones(1)
    x, w = np.polynomial.legendre.leggauss(nodes)
    v, w = 0.5 * (x + 1.0), 0.5 * w
    if model == "wedge":
        return v, w
    if model == "cylinder":
        return np.sqrt(1.0 - v**2), w
    return v, 2.0 * v * w


def node_count(*, thickness_angstrom: float, bandwidth_per_angstrom: float) -> int:
    """Nodes for |ψ(t)|² with frequencies up to the bandwidth: half a radian each, and a few more to converge.

    Counted for the next thickness of a geometric series, so that the number rarely changes within a refinement.
    """
    reach = 1.25 ** math.ceil(math.log(max(thickness_angstrom, 1.0)) / math.log(1.25) - 1e-9)
    return int(min(64, 5 + math.ceil(0.5 * math.pi * bandwidth_per_angstrom * reach)))
