"""Covariance of a refinement on frames: from the full matrix, and no smaller than the scatter of its parts allows.

The full matrix times χ²/(n − p) holds when residuals are independent. Those of a dynamical refinement are not: what is
wrong with a frame (its thickness, orientation, what is left out of the model) is wrong with all of its reflections, and
what is wrong with a reflection with all of its equivalents. The covariance of sums of scores g_c = Σ_{i in c} w r ∂I/∂p
over clusters c that may be correlated in any way within, but not with each other, is N⁻¹ Σ_c g_c g_cᵀ N⁻¹ (Liang &
Zeger, Biometrika 73 (1986) 13); for two ways of clustering at once it is that of the one plus that of the other less
that of what they have in common (Cameron, Gelbach & Miller, J. Bus. Econ. Stat. 29 (2011) 238).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.refinement.frames import FrameData
from pipeline.refinement.least_squares import covariance_of
from pipeline.refinement.terms import Slopes
from twin.physics.lattice import Floats, Ints
from twin.physics.symmetry import asymmetric_hkl


def clusters_of(frames: Sequence[FrameData], hall: str) -> tuple[Ints, Ints]:
    """(frame, unique reflection) of every observation, (n,) each; Friedel mates are one reflection."""
    frame = np.repeat(np.arange(len(frames)), [len(f.hkl) for f in frames])
    unique = asymmetric_hkl(np.concatenate([f.hkl for f in frames]), hall, friedel=True)
    _, reflection = np.unique(unique, axis=0, return_inverse=True)
    return frame, reflection.reshape(-1)


def honest_covariance(
    *, normal: Floats, slopes: Sequence[Slopes], clusters: tuple[Ints, Ints], factor: float
) -> tuple[Floats, tuple[int, ...]]:
    """(covariance (P, P), undetermined parameters): ``factor`` N⁻¹, widened where clusters scatter by more.

    Correlations are those of the full matrix; an s.u. is the larger one of what the matrix and what clusters say.
    """
    inverse, lost = covariance_of(normal)
    plain = factor * np.diag(inverse)
    finite = np.where(np.isfinite(inverse), inverse, 0.0)
    scattered = np.diag(clustered_covariance(inverse=finite, slopes=slopes, clusters=clusters))
    use = np.isfinite(plain) & (plain > 0)
    widening = np.sqrt(np.maximum(1.0, np.divide(scattered, plain, out=np.ones(len(plain)), where=use)))
    with np.errstate(invalid="ignore"):
        return np.asarray(factor * inverse * np.outer(widening, widening)), lost


def clustered_covariance(*, inverse: Floats, slopes: Sequence[Slopes], clusters: tuple[Ints, Ints]) -> Floats:
    """(P, P) from scores summed by frame, by unique reflection, and by both."""
    return two_way_covariance(np.concatenate([_influence(inverse, s) for s in slopes]), clusters)


def two_way_covariance(scores: Floats, clusters: tuple[Ints, Ints]) -> Floats:
    """(P, P) of the sum of scores (n, P) that may be correlated within a frame and within a unique reflection."""
    frame, reflection = clusters
    both = frame * (int(reflection.max()) + 1) + reflection
    total = np.zeros((scores.shape[1], scores.shape[1]))
    for labels, sign in ((frame, 1.0), (reflection, 1.0), (both, -1.0)):
        total += sign * _of_sums(scores, labels)
    return total


def _influence(inverse: Floats, slope: Slopes) -> Floats:
    """(M, P) shift of every parameter by each observation of a frame: N⁻¹ w r ∂I/∂p."""
    return np.asarray((slope.rows * (slope.weights * slope.residual)).T @ inverse[slope.columns])


def _of_sums(scores: Floats, labels: Ints) -> Floats:
    """Σ_c g_c g_cᵀ · C/(C − 1), the factor for C clusters of which one is determined by the others."""
    _, member = np.unique(labels, return_inverse=True)
    count = int(member.max()) + 1
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, member.reshape(-1), scores)
    return np.asarray(sums.T @ sums * (count / max(1, count - 1)))
