"""The kinematical model of integrated spots: I(h, f) = k_f F²(h) P(s), P the rocking curve averaged over the exposure;
F² from all frames and equivalents, the width and shape of the curve by likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry
from pipeline.reduction.observations import Observations, take
from pipeline.reduction.predict import Sweep, excitation
from pipeline.reduction.rocking import SHAPES, Rocking, Shape, exposure_average, same_fwhm, swept_fraction
from twin.model.plan import Mode
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREEDOM = 9.0  # of Student's t, which stands for normal errors with outliers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """Where each observation is in its passage through the sphere: s, half of the sweep, |g|, all (n,) in Å⁻¹."""

    s: Floats
    half: Floats
    g_length: Floats
    mode: Mode

    def share(self, rocking: Rocking) -> tuple[Floats, Floats]:
        """P (Å) and dP/ds (Å²), (n,)."""
        return exposure_average(s=self.s, half_sweep=self.half, g_length=self.g_length, rocking=rocking, mode=self.mode)

    def swept(self, rocking: Rocking) -> Floats:
        """Part of the curve within the exposure, (n,)."""
        return swept_fraction(s=self.s, half_sweep=self.half, g_length=self.g_length, rocking=rocking)


def passage(o: Observations, geometry: Geometry, sweep: Sweep) -> Passage:
    """Of every observation; the azimuth is that of the geometry."""
    g = np.einsum("nij,nj->ni", geometry.rotation[o.frame], o.hkl @ geometry.ub.T)
    now = replace(sweep, tilt_axis_deg=geometry.microscope.projection.tilt_axis_deg)
    s, half = excitation(g_lab=g, sweep=now)
    return Passage(s=s, half=half, g_length=np.linalg.norm(g, axis=1), mode=sweep.mode)


def group_numbers(hkl: Ints, hall: str) -> tuple[int, Ints]:
    """How many unique reflections there are under the Laue class and the number of each observation's (n,)."""
    unique, inverse = np.unique(asymmetric_hkl(hkl, hall, friedel=True), axis=0, return_inverse=True)
    return len(unique), np.asarray(inverse).reshape(-1)


def student_weight(o: Observations, model: Floats, error: float) -> Floats:
    """1 / variance, less for outliers; ``error``: relative error of the model."""
    variance = o.variance(model) + (error * np.maximum(model, 0.0)) ** 2
    return np.asarray(1.0 / variance / (1.0 + (o.intensity - model) ** 2 / variance / FREEDOM))


def settle(o: Observations, share: Floats, group: Ints, groups: int, error: float, f2: Floats | None) -> Floats:
    """F² = Σ w I p / Σ w p² in each group, never negative, with robust weights; (groups,)."""
    weight = 1.0 / o.variance(np.zeros(len(share))) if f2 is None else student_weight(o, f2[group] * share, error)
    for _ in range(3):
        top = np.bincount(group, weights=weight * o.intensity * share, minlength=groups)
        below = np.bincount(group, weights=weight * share**2, minlength=groups)
        f2 = np.asarray(np.maximum(top / np.maximum(below, 1e-30), 0.0))
        weight = student_weight(o, f2[group] * share, error)
    assert f2 is not None
    return f2


def relative_error(o: Observations, model: Floats, parameters: int, *, start: float = 0.2) -> float:
    """Relative error of the model with which the deviations of strong observations are as large as they should be."""
    sigma = np.sqrt(o.variance(model))
    strong = model > 5.0 * sigma
    n = int(np.count_nonzero(strong))
    if n < 100:
        return start
    inflate = np.sqrt(len(model) / max(len(model) - parameters, 0.2 * len(model)))
    deviation = inflate * np.abs(o.intensity - model)[strong]
    low, high = 0.0, 0.5
    for _ in range(20):
        middle = 0.5 * (low + high)
        expected = np.hypot(sigma[strong], middle * model[strong])
        low, high = (middle, high) if float(np.median(deviation / expected)) > 0.6745 else (low, middle)
    return float(np.clip(0.5 * (low + high), 0.01, 0.5))


def fit_rocking(
    *,
    o: Observations,
    where: Passage,
    scale: Floats,
    group: Ints,
    groups: int,
    error: float,
    start: Rocking,
    shapes: tuple[Shape, ...] = SHAPES,
) -> Rocking:
    """The rocking curve of greatest likelihood: shape, width and mosaicity, judged by strong reflections."""
    total = np.bincount(group, weights=np.maximum(o.intensity, 0.0), minlength=groups)
    noise = np.sqrt(np.bincount(group, weights=o.sigma**2, minlength=groups))
    limit = float(np.sort(total / np.maximum(noise, 1e-30))[-min(groups, 400)])
    chosen = np.flatnonzero((total > max(limit, 5.0) * noise)[group])
    if len(chosen) < 50:
        return start
    few, k = take(o, chosen), scale[o.frame[chosen]]
    part = Passage(s=where.s[chosen], half=where.half[chosen], g_length=where.g_length[chosen], mode=where.mode)
    _, own = np.unique(group[chosen], return_inverse=True)
    own = np.asarray(own).reshape(-1)

    def misfit(rocking: Rocking) -> float:
        share = part.share(rocking)[0] * k
        model = settle(few, share, own, int(own.max()) + 1, error, None)[own] * share
        variance = few.variance(model) + (error * model) ** 2
        student = np.log1p((few.intensity - model) ** 2 / variance / FREEDOM)
        return float(np.sum(0.5 * (FREEDOM + 1.0) * student + 0.5 * np.log(variance)))

    best, lowest = start, np.inf
    for shape in shapes:
        tried = same_fwhm(start, shape)
        value = misfit(tried)
        for step in (0.25, 0.08, 0.03):
            tried, value = _narrow(misfit, tried, value, step)
        if value < lowest:
            best, lowest = tried, value
    return best


def _narrow(misfit: object, start: Rocking, value: float, step: float) -> tuple[Rocking, float]:
    """Steps of the log of the width and of the mosaicity as long as they help, and a parabola through the last."""
    assert callable(misfit)
    now = start
    for _ in range(8):
        trials = [replace(now, width_per_angstrom=now.width_per_angstrom * float(np.exp(s * step))) for s in (-1, 1)]
        mosaic = max(now.mosaic_deg, 0.1 * float(np.degrees(now.width_per_angstrom)))
        trials += [replace(now, mosaic_deg=now.mosaic_deg * (1 - step)), replace(now, mosaic_deg=mosaic * (1 + step))]
        values = [misfit(t) for t in trials]
        least = int(np.argmin(values))
        if values[least] >= value:
            bend = values[0] - 2 * value + values[1]
            move = 0.5 * (values[0] - values[1]) / bend if bend > 0 else 0.0
            refined = replace(now, width_per_angstrom=now.width_per_angstrom * float(np.exp(step * move)))
            low = misfit(refined)
            return (refined, low) if low < value else (now, value)
        now, value = trials[least], values[least]
    return now, value
