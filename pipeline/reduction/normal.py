"""Normal equations of parameters that all frames share and parameters of single frames, the latter eliminated.

With a (C, C) of the shared parameters, d_f (S, S) of each frame and c_f (S, C) between them, the Schur complement
a − Σ c_fᵀ d_f⁻¹ c_f leaves a system of the size of the shared ones: the cost grows linearly with the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Normal:
    """shared (C, C), right (C,), mixed (frames, S, C), own (frames, S, S), own_right (frames, S)."""

    shared: Floats
    right: Floats
    mixed: Floats
    own: Floats
    own_right: Floats

    def plus(self, other: Normal) -> Normal:
        """Both sets of observations together."""
        return Normal(
            shared=self.shared + other.shared,
            right=self.right + other.right,
            mixed=self.mixed + other.mixed,
            own=self.own + other.own,
            own_right=self.own_right + other.own_right,
        )


@njit(cache=True)
def _accumulate(common, single, residual, weight, frame, frames):  # type: ignore[no-untyped-def]
    n, c = common.shape
    s = single.shape[1]
    shared = np.zeros((c, c))
    right = np.zeros(c)
    mixed = np.zeros((frames, s, c))
    own = np.zeros((frames, s, s))
    own_right = np.zeros((frames, s))
    for m in range(n):
        w = weight[m]
        if w == 0.0:
            continue
        f = frame[m]
        for i in range(c):
            x = w * common[m, i]
            right[i] += x * residual[m]
            for j in range(i + 1):
                shared[i, j] += x * common[m, j]
        for i in range(s):
            x = w * single[m, i]
            if x == 0.0:
                continue
            own_right[f, i] += x * residual[m]
            for j in range(c):
                mixed[f, i, j] += x * common[m, j]
            for j in range(s):
                own[f, i, j] += x * single[m, j]
    for i in range(c):
        for j in range(i):
            shared[j, i] = shared[i, j]
    return shared, right, mixed, own, own_right


def normal_equations(
    *, common: Floats, single: Floats, residual: Floats, weight: Floats, frame: Ints, frames: int
) -> Normal:
    """From observations, one a row: derivatives by the shared (n, C) and the frame's (n, S) parameters."""
    parts = _accumulate(
        np.ascontiguousarray(common),
        np.ascontiguousarray(single),
        np.ascontiguousarray(residual),
        np.ascontiguousarray(weight),
        frame,
        frames,
    )
    return Normal(shared=parts[0], right=parts[1], mixed=parts[2], own=parts[3], own_right=parts[4])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """Normal priors: 1/σ² and present offset of the shared (C,) and the frames' parameters ((S,), (frames, S))."""

    shared: Floats
    shared_offset: Floats
    own: Floats
    own_offset: Floats


def solve(normal: Normal, prior: Prior) -> tuple[Floats, Floats]:
    """Changes of the shared (C,) and of the frames' (frames, S) parameters."""
    own = normal.own + np.diag(prior.own)
    e = normal.own_right - prior.own * prior.own_offset
    inverse = np.linalg.inv(own)
    half = inverse @ normal.mixed
    shared = normal.shared + np.diag(prior.shared)
    reduced = shared - np.tensordot(normal.mixed, half, axes=([0, 1], [0, 1]))
    right = normal.right - prior.shared * prior.shared_offset - np.tensordot(half, e, axes=([0, 1], [0, 1]))
    damping = 1e-10 * np.diag(np.maximum(np.diag(shared), 1e-300))
    x = np.asarray(np.linalg.solve(reduced + damping, right), dtype=np.float64)
    return x, np.asarray(np.einsum("fst,ft->fs", inverse, e) - half @ x)


def uncertainties(normal: Normal, prior: Prior) -> tuple[Floats, Floats]:
    """Standard deviations of the shared (C,) and of the frames' (frames, S) parameters, each with all others free."""
    inverse = np.linalg.inv(normal.own + np.diag(prior.own))
    half = inverse @ normal.mixed
    shared = normal.shared + np.diag(prior.shared)
    reduced = shared - np.tensordot(normal.mixed, half, axes=([0, 1], [0, 1]))
    covariance = np.linalg.inv(reduced + 1e-10 * np.diag(np.maximum(np.diag(shared), 1e-300)))
    own = np.einsum("fss->fs", inverse) + np.einsum("fsc,cd,fsd->fs", half, covariance, half, optimize=True)
    return np.sqrt(np.abs(np.diag(covariance))), np.sqrt(np.maximum(own, 0.0))


def effective_parameters(normal: Normal, prior: Prior) -> Floats:
    """How many of the frames' parameters (S,) the observations decide, not the prior: Σ 1 − prior / (own + prior)."""
    inverse = np.linalg.inv(normal.own + np.diag(prior.own))
    return np.asarray(np.sum(1.0 - prior.own * np.einsum("fss->fs", inverse), axis=0))


def frame_variances(*, halves: tuple[Normal, Normal], offset: Floats, groups: tuple[tuple[int, ...], ...]) -> Floats:
    """Variance of the frames' parameters about zero, estimated from two halves of the observations; (groups,).

    Each half gives an estimate of its own, x₁ and x₂, whose errors are independent: ⟨x₁ x₂⟩ is the true variance
    whatever the noise, so that an overestimated weight cannot be mistaken for movement. Frames weigh by
    1 / (v₁ v₂ + σ² (v₁ + v₂) + 2σ⁴), the variance of the product; estimates below zero are zero.

    offset: (frames, S) present values, at which the normal equations were made; groups: parameters that share one
    variance; the others stay where they are.
    """
    values, errors = np.zeros((2, *offset.shape)), np.ones((2, *offset.shape))
    estimated = np.array(sorted(sum(groups, ())))
    for n, half in enumerate(halves):
        own = half.own[:, estimated[:, None], estimated]
        bare = np.linalg.inv(own + _weak(own))
        values[n][:, estimated] = offset[:, estimated] + np.einsum("fst,ft->fs", bare, half.own_right[:, estimated])
        errors[n][:, estimated] = np.einsum("fss->fs", bare)
    product, both = values[0] * values[1], errors[0] * errors[1]
    out = np.zeros(len(groups))
    for k, group in enumerate(groups):
        chosen = list(group)
        p, v2, v = product[:, chosen].ravel(), both[:, chosen].ravel(), (errors[0] + errors[1])[:, chosen].ravel()
        variance = 0.0
        for _ in range(8):
            weight = 1.0 / (v2 + variance * v + 2 * variance**2 + 1e-300)
            limit = 25.0 * (np.sqrt(v2) + variance)  # one frame that jumped does not make all frames loose
            variance = max(float(np.sum(weight * np.clip(p, -limit, limit)) / np.sum(weight)), 0.0)
        out[k] = variance
    return out


def _weak(own: Floats) -> Floats:
    """A hundredth of a thousandth of what frames typically know: keeps frames without spots invertible."""
    typical = np.median(np.einsum("fss->fs", own), axis=0)
    typical = np.where(typical > 0, typical, 1.0)
    return np.asarray(np.diag(1e-5 * typical))
