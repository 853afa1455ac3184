"""How far results are from the truth: cell, orientations, azimuth, intensities, pulls; and what photon noise allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from validation.reduction.frames import Known

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT_DRAWS = 50  # of photon noise, whose mean is the limit

@dataclass(frozen=True, slots=True, kw_only=True)
class LatticeErrors:
    """Largest relative error of a cell length in percent, median angle of the frames in degrees; NaN for a wrong
    lattice."""

    cell_percent: float
    orientation_deg: float


def conventional(a: Floats, truth: Floats) -> tuple[Floats, Ints] | None:
    """A found lattice (3, 3) in the axes of the true one and N with found = true·N; None when it is another one."""
    ratio = np.linalg.solve(truth, a)
    n = np.rint(ratio).astype(np.int64)
    if abs(round(float(np.linalg.det(n)))) not in (1, 2) or np.max(np.abs(ratio - n)) > 0.2:
        return None
    return np.asarray(a @ np.linalg.inv(n)), n


def lattice_errors(*, known: Known, frame_ub: Floats, frame: Ints | None = None) -> LatticeErrors:
    """``frame_ub``: (m, 3, 3) ub in the laboratory at mid-exposure of the frames ``frame`` (m,), of all when None."""
    rotation = known.rotation if frame is None else known.rotation[frame]
    true = rotation @ known.ub
    angles, lengths = [], []
    for found, right in zip(frame_ub, true, strict=True):
        matched = conventional(found, right)
        if matched is None:
            continue
        u, _, vt = np.linalg.svd(matched[0] @ np.linalg.inv(right))
        angles.append(float(np.degrees(Rotation.from_matrix(u @ vt).magnitude())))
        lengths.append(np.linalg.norm(np.linalg.inv(matched[0]), axis=1))
    if len(angles) < 0.5 * len(true):
        return LatticeErrors(cell_percent=float("nan"), orientation_deg=float("nan"))
    wanted = np.linalg.norm(np.linalg.inv(true[0]), axis=1)
    off = np.max(np.abs(np.median(lengths, axis=0) / wanted - 1.0))
    return LatticeErrors(cell_percent=100.0 * float(off), orientation_deg=float(np.median(angles)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityErrors:
    """CC with the truth and what photon noise alone leaves of it; R on |F| of reflections found above 3σ, in percent,
    and what photon noise alone gives on the same reflections; median, mean and standard deviation of (I − I_true)/σ of
    all reflections, and the largest; reflections. The median of Poisson counts lies a sixth of their skewness below
    the mean."""

    cc: float
    cc_limit: float
    r_percent: float
    limit_percent: float
    bias: float
    mean: float
    spread: float
    largest: float
    number: int


def intensity_errors(*, known: Known, hkl: Ints, intensity: Floats, sigma: Floats, per_f2: bool) -> IntensityErrors:
    """``per_f2``: intensities are on the scale of F² (Lorentz factor taken out), else counts as collected."""
    wanted = known.f2 if per_f2 else known.counts
    unit = known.counts / known.f2 if per_f2 else np.ones(len(known.f2))
    index = {h: i for i, h in enumerate(map(tuple, known.hkl.tolist()))}
    at = np.array([index.get(h, -1) for h in map(tuple, hkl.tolist())])
    own = (at >= 0) & (sigma > 0)
    t, i, s = wanted[at[own]], intensity[own], sigma[own]
    scale = float(np.sum(i * t / s**2) / np.sum(t**2 / s**2))
    i, s = i / scale, s / scale
    noise = np.sqrt(known.variance[at[own]]) / unit[at[own]]
    rng = np.random.default_rng(1)
    ideal = t + noise * rng.normal(size=(LIMIT_DRAWS, len(t)))
    pull = (i - t) / s
    return IntensityErrors(
        cc=float(np.corrcoef(i, t)[0, 1]),
        cc_limit=float(np.mean([np.corrcoef(one, t)[0, 1] for one in ideal])),
        r_percent=_r(i, t, i > 3 * s),
        limit_percent=float(np.mean([_r(one, t, i > 3 * s) for one in ideal])),
        bias=float(np.median(pull)),
        mean=float(np.mean(pull)),
        spread=float(np.std(pull)),
        largest=float(np.max(np.abs(pull))),
        number=len(t),
    )


def _r(found: Floats, true: Floats, use: NDArray[np.bool_]) -> float:
    a, b = np.sqrt(np.maximum(found[use], 0.0)), np.sqrt(true[use])
    return 100.0 * float(np.sum(np.abs(a - b)) / np.sum(b)) if np.any(use) else float("nan")
