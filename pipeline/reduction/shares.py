"""The kinematical model of integrated spots: I(h, f) = k_f F²(h) P(s), P the rocking curve averaged over the exposure;
F² from all frames and equivalents, the width and shape of the curve by likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry, turned
from pipeline.reduction.observations import RELATIVE_ERROR, Observations, take, unique_hkl
from pipeline.reduction.predict import Sweep, excitation
from pipeline.reduction.rocking import SHAPES, Rocking, Shape, exposure_average, same_fwhm, swept_fraction
from twin.model.plan import Mode
from twin.physics.symmetry import asymmetric_hkl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JUDGES = 8000  # observations that judge the rocking curve
HOPELESS = 200.0  # of the logarithm of the likelihood behind the best shape: finer steps win a few
FREEDOM = 9.0  # of Student's t, which stands for normal errors with outliers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """Where each observation is in its passage through the sphere: s, half of the sweep, |g|, all (n,) in Å⁻¹."""

    s: Floats
    half: Floats
    g_length: Floats
    mode: Mode

    def share(self, rocking: Rocking, *, slopes: bool = True) -> tuple[Floats, Floats]:
        """P (Å) and dP/ds (Å², zeros without ``slopes``), (n,)."""
        return exposure_average(
            s=self.s,
            half_sweep=self.half,
            g_length=self.g_length,
            rocking=rocking,
            mode=self.mode,
            slopes=slopes,
        )

    def swept(self, rocking: Rocking) -> Floats:
        """Part of the curve within the exposure, (n,)."""
        return swept_fraction(s=self.s, half_sweep=self.half, g_length=self.g_length, rocking=rocking)


def passage(o: Observations, geometry: Geometry, sweep: Sweep) -> Passage:
    """Of every observation; the azimuth is that of the geometry."""
    g: Floats = turned(geometry.rotation, o.frame, o.hkl @ geometry.ub.T)
    now = replace(sweep, tilt_axis_deg=geometry.microscope.projection.tilt_axis_deg)
    s, half = excitation(g_lab=g, sweep=now)
    return Passage(s=s, half=half, g_length=np.linalg.norm(g, axis=1), mode=sweep.mode)


def group_numbers(hkl: Ints, hall: str) -> tuple[int, Ints]:
    """How many unique reflections there are under the Laue class and the number of each observation's (n,)."""
    different, which = unique_hkl(hkl)
    unique, group = unique_hkl(asymmetric_hkl(different, hall, friedel=True))
    return len(unique), group[which]


def student_weight(o: Observations, model: Floats, error: float) -> Floats:
    """1 / variance, less for outliers; ``error``: relative error of the model."""
    variance = o.variance(model) + (error * np.maximum(model, 0.0)) ** 2
    return np.asarray(1.0 / variance / (1.0 + (o.intensity - model) ** 2 / variance / FREEDOM))


@njit(cache=True)
def _variance(i, expected, intensity, sigma, base, per_count, relative2, error):  # type: ignore[no-untyped-def]
    counts = max(expected, intensity[i] - 3.0 * sigma[i], 0.0)
    model = error * max(expected, 0.0)
    return base[i] + per_count[i] * counts + relative2 * counts * counts + model * model


@njit(cache=True)
def _robust_f2(intensity, sigma, base, per_count, relative2, share, group, f2, known, error, rounds):  # type: ignore[no-untyped-def]
    top = np.zeros(f2.shape[0])
    below = np.zeros(f2.shape[0])
    for turn in range(rounds):
        top[:] = 0.0
        below[:] = 0.0
        for i in range(share.shape[0]):
            k = group[i]
            if turn == 0 and not known:
                weight = 1.0 / _variance(i, 0.0, intensity, sigma, base, per_count, relative2, 0.0)
            else:
                model = f2[k] * share[i]
                variance = _variance(i, model, intensity, sigma, base, per_count, relative2, error)
                weight = 1.0 / (variance + (intensity[i] - model) ** 2 / FREEDOM)
            top[k] += weight * intensity[i] * share[i]
            below[k] += weight * share[i] * share[i]
        for k in range(f2.shape[0]):
            f2[k] = max(top[k] / max(below[k], 1e-30), 0.0)
    return f2


@njit(cache=True)
def _student_misfit(intensity, sigma, base, per_count, relative2, share, group, f2, error):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(share.shape[0]):
        model = f2[group[i]] * share[i]
        variance = _variance(i, model, intensity, sigma, base, per_count, relative2, error)
        total += 0.5 * (FREEDOM + 1.0) * np.log1p((intensity[i] - model) ** 2 / variance / FREEDOM)
        total += 0.5 * np.log(variance)
    return total


def _noise_columns(o: Observations) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Intensity, sigma, and what :meth:`Observations.variance` is made of."""
    if o.base_variance is None or o.variance_per_count is None:
        return o.intensity, o.sigma, o.sigma**2, np.zeros(len(o.sigma)), 0.0
    return o.intensity, o.sigma, o.base_variance, o.variance_per_count, RELATIVE_ERROR**2


def settle(o: Observations, share: Floats, group: Ints, groups: int, error: float, f2: Floats | None) -> Floats:
    """F² = Σ w I p / Σ w p² in each group, never negative, with robust weights; (groups,)."""
    start = np.zeros(groups) if f2 is None else f2.copy()
    return np.asarray(_robust_f2(*_noise_columns(o), share, group, start, f2 is not None, error, 3))


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
    for _ in range(12):
        middle = 0.5 * (low + high)
        expected = np.hypot(sigma[strong], middle * model[strong])
        low, high = (middle, high) if float(np.median(deviation / expected)) > 0.6745 else (low, middle)
    return float(np.clip(0.5 * (low + high), 0.01, 0.5))


def _strongest(o: Observations, group: Ints, groups: int) -> Ints:
    """Observations of the reflections of greatest significance, at least 5σ, until there are enough of them."""
    total = np.bincount(group, weights=np.maximum(o.intensity, 0.0), minlength=groups)
    noise = np.sqrt(np.bincount(group, weights=o.sigma**2, minlength=groups))
    significance = total / np.maximum(noise, 1e-30)
    order = np.argsort(-significance, kind="stable")
    enough = np.cumsum(np.bincount(group, minlength=groups)[order]) <= JUDGES
    use = np.zeros(groups, dtype=bool)
    use[order[enough]] = significance[order[enough]] > 5.0
    return np.flatnonzero(use[group])


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
    chosen = _strongest(o, group, groups)
    if len(chosen) < 50:
        return start
    few, k = take(o, chosen), scale[o.frame[chosen]]
    part = Passage(s=where.s[chosen], half=where.half[chosen], g_length=where.g_length[chosen], mode=where.mode)
    _, own = np.unique(group[chosen], return_inverse=True)
    own = np.asarray(own).reshape(-1)

    columns, number = _noise_columns(few), int(own.max()) + 1

    def misfit(rocking: Rocking) -> float:
        share = part.share(rocking, slopes=False)[0] * k
        f2 = _robust_f2(*columns, share, own, np.zeros(number), False, error, 3)
        return float(_student_misfit(*columns, share, own, f2, error))

    tried = [same_fwhm(start, shape) for shape in shapes]
    fitted = [(misfit(t), t) for t in tried]
    for step in (0.25, 0.08, 0.03):
        fitted = [_narrow(misfit, t, value, step) for value, t in fitted]
        lowest = min(value for value, _ in fitted)
        fitted = [(value, t) for value, t in fitted if value < lowest + HOPELESS]
    return min(fitted, key=lambda pair: pair[0])[1]


def _narrow(misfit: Callable[[Rocking], float], start: Rocking, value: float, step: float) -> tuple[float, Rocking]:
    """Steps of the log of the width and of the mosaicity as long as they help, and a parabola through the last; the
    misfit and the curve."""
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
            return (low, refined) if low < value else (value, now)
        now, value = trials[least], values[least]
    return value, now
