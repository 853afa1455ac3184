"""A bent particle: the lattice turns about the particle's first axis in proportion to the way along its third one.

In the column approximation a column has one orientation, that of its middle. Columns are gathered in strips of nearly
equal orientation; a strip has its own distribution of thickness μ_b. With the polynomials p_n that are orthonormal
on the whole distribution μ = Σ μ_b, and φ_g(t) = Σ_n a_n p_n(t), the intensity of a strip is

    ∫ |φ_g|² dμ_b = aᵀ G_b a*,    (G_b)_nm = ∫ p_n p_m dμ_b,    Σ_b G_b = 1,

so that all strips use the same thicknesses, and nothing changes when all have the same orientation. Left out: that
the lattice also turns along a column, the strain that goes with bending, and the phase between strips in the shape of a
spot, which is that of the straight particle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from twin.model.specimen import Particle
from twin.physics.column import ThicknessBasis, binned, mean_rocking_curve, mode_maps
from twin.physics.lattice import Floats, Ints
from twin.simulate.engine import Sampling

_MAX_STRIPS = 32
_STEP = 0.25  # largest change of s t from one strip to the next at g_max; a rocking curve is 1 wide


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strips:
    """Parts of a particle with one orientation each, for the steps (S) of an exposure.

    share (B,): of the electrons that meet the particle. gram (B, J, J): G_b in amplitudes at the nodes, over the share.
    samples: thickness and weight, over the share, of each. strip (S,): to which a step belongs.
    """

    share: Floats
    gram: Floats
    samples: tuple[tuple[Floats, Floats], ...]
    strip: Ints


def bend(
    *,
    particle: Particle,
    axes_lab: Floats,
    sampling: Sampling,
    basis: ThicknessBasis,
    thickness_angstrom: Floats,
    weight: Floats,
    position_angstrom: Floats,
    g_max_per_angstrom: float,
) -> tuple[Sampling, Strips | None]:
    """Every step of an exposure for every strip, strip after strip; (sampling, None) for a straight particle.

    Columns (n,): thickness, electrons on them, and the middle's position (n, 3) in the laboratory from the centre.
    """
    if particle.bending_deg_per_nm == 0.0:
        return sampling, None
    angle = math.radians(0.1 * particle.bending_deg_per_nm) * (position_angstrom @ axes_lab[:, 2])
    low, high = float(angle.min()), float(angle.max())
    wanted = (high - low) * g_max_per_angstrom * float(thickness_angstrom.max()) / _STEP
    count = min(_MAX_STRIPS, max(1, math.ceil(wanted)))
    index = np.minimum(((angle - low) / max(high - low, 1e-300) * count).astype(np.int64), count - 1)
    used = np.flatnonzero(np.bincount(index, weights=weight, minlength=count) > 0.0)
    scale = float(thickness_angstrom.max())
    parts = []
    for b in used:
        x, w = binned(thickness_angstrom[index == b] / scale, weight[index == b])
        parts.append((scale * x, w))
    mass = np.array([w.sum() for _, w in parts])
    share = mass / mass.sum()
    turn = np.array([float(angle[index == b] @ weight[index == b]) for b in used]) / mass
    gram = np.stack([_gram(basis, t, w) / part for (t, w), part in zip(parts, share, strict=True)])
    rotation = Rotation.from_rotvec(turn[:, None] * axes_lab[:, 0]).as_matrix()
    steps = len(sampling.weight)
    bent = replace(
        sampling,
        directions=np.einsum("bji,sj->bsi", rotation, sampling.directions).reshape(-1, 3),
        turns=np.einsum("sij,bjk->bsik", sampling.turns, rotation).reshape(-1, 3, 3),
        weight=np.multiply.outer(share, sampling.weight).ravel(),
    )
    samples = tuple((t, w / part) for (t, w), part in zip(parts, share, strict=True))
    return bent, Strips(share=share, gram=gram, samples=samples, strip=np.repeat(np.arange(len(used)), steps))


def strip_intensity(*, strips: Strips, amplitudes: NDArray[Any], steps: slice) -> Floats:
    """Intensity (N, s) of the amplitudes (J, N, s) at the nodes, of the steps ``steps`` of the exposure."""
    out = np.empty(amplitudes.shape[1:])
    own = strips.strip[steps]
    for b in np.unique(own):
        part = amplitudes[:, :, own == b]
        turned = np.tensordot(strips.gram[b].astype(part.real.dtype), part, axes=(1, 0))
        out[:, own == b] = np.einsum("jns,jns->ns", part.real, turned.real)
        out[:, own == b] += np.einsum("jns,jns->ns", part.imag, turned.imag)
    return out


def strip_rocking_curve(*, strips: Strips, basis: ThicknessBasis, excitation_error: Floats) -> Floats:
    """∫ t² sinc²(s t) dμ in Å² at s (N, S), each step with the thicknesses of its strip."""
    out = np.empty(excitation_error.shape)
    for b, samples in enumerate(strips.samples):
        own = strips.strip == b
        out[:, own] = mean_rocking_curve(
            basis=replace(basis, samples=samples), excitation_error=excitation_error[:, own]
        )
    return out


def _gram(basis: ThicknessBasis, thickness_angstrom: Floats, weight: Floats) -> Floats:
    """Tᵀ G T (J, J) with a = T φ: a strip's quadratic form in the amplitudes at the nodes."""
    modes = basis.weight.size
    p = mode_maps(
        basis=basis, thickness_angstrom=thickness_angstrom, amplitude=np.ones_like(thickness_angstrom), modes=modes
    )
    return np.asarray(basis.transform.T @ ((p * weight) @ p.T) @ basis.transform)
