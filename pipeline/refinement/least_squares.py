"""One least-squares engine for all refinements: Gauss-Newton with Levenberg-Marquardt damping on normal equations.

A model supplies χ², its gradient and its normal matrix at a parameter vector; how they are accumulated (frame by frame,
in other processes) is its own affair. Damping follows Marquardt (J. SIAM 11 (1963) 431); covariance is the inverse of
the undamped normal matrix, times χ²/(n − p) (Prince, International Tables C, chapter 8.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from twin.physics.lattice import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """χ² at a point; gradient (P,) = Jᵀ W r with r = observed − calculated; normal (P, P) = Jᵀ W J; None if not asked.

    ``point``: the parameter vector after the model adjusted what it eliminates (scales), if it did.
    """

    chi2: float
    gradient: Floats | None = None
    normal: Floats | None = None
    point: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How to iterate. shift_over_su: converged when every shift is below this fraction of its s.u.

    joint_shift: converged when the whole remaining shift, √(gᵀ N⁻¹ g) in units of its s.u. (the Newton decrement), is
    below this, or when three damped steps in a row lower χ² by less than relative_chi2.
    """

    max_cycles: int = 50
    damping_start: float = 1e-4
    shift_over_su: float = 0.01
    relative_chi2: float = 1e-9
    attempts: int = 8
    joint_shift: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Outcome. covariance (P, P) is scaled by χ²/(n − p); ``singular``: parameters that the data do not determine."""

    values: Floats
    covariance: Floats
    chi2: float
    cycles: int
    converged: bool
    verdict: str
    singular: tuple[int, ...] = ()
    history: tuple[float, ...] = field(default=())


Evaluate = Callable[[Floats, bool], Evaluation]


def solve_damped(normal: Floats, gradient: Floats, damping: float) -> Floats:
    """Shift (P,) of the damped normal equations, scaled to unit diagonal; parameters without weight do not move."""
    scale = _diagonal_scale(normal)
    scaled = normal * np.outer(scale, scale)
    scaled[np.diag_indices_from(scaled)] += damping
    try:
        shift = np.linalg.solve(scaled, gradient * scale)
    except np.linalg.LinAlgError:
        shift = np.linalg.lstsq(scaled, gradient * scale, rcond=1e-12)[0]
    return np.asarray(shift * scale)


def _diagonal_scale(normal: Floats) -> Floats:
    diagonal = np.diag(normal)
    usable = diagonal > 0
    return np.asarray(np.where(usable, 1.0 / np.sqrt(np.where(usable, diagonal, 1.0)), 0.0))


def covariance_of(normal: Floats, *, tolerance: float = 1e-11) -> tuple[Floats, tuple[int, ...]]:
    """Inverse of the normal matrix through its eigenvalues, and the parameters that lie in its null space.

    Undetermined parameters get an infinite variance rather than a small one from a pseudo-inverse.
    """
    scale = _diagonal_scale(normal)
    values, vectors = np.linalg.eigh(normal * np.outer(scale, scale))
    good = values > tolerance * max(float(values[-1]) if len(values) else 0.0, 1e-300)
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    lost = np.flatnonzero((np.sum(vectors[:, ~good] ** 2, axis=1) > 0.01) | (scale == 0))
    covariance = inverse * np.outer(scale, scale)
    covariance[lost, lost] = np.inf
    return covariance, tuple(int(i) for i in lost)


def minimise(
    *,
    start: ArrayLike,
    evaluate: Evaluate,
    observations: int,
    names: tuple[str, ...],
    max_shift: ArrayLike | None = None,
    rounding: float = 0.0,
    control: Control | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Fit:
    """Minimise χ². ``max_shift`` (P,) limits each parameter in one step; cycles count accepted steps.

    ``rounding``: χ² below which the model reproduces the data as well as numbers allow.
    """
    how = control or Control()
    point = np.array(start, dtype=np.float64)
    limit = np.full(len(point), np.inf) if max_shift is None else np.asarray(max_shift, dtype=np.float64)
    state = evaluate(point, True)
    history = [state.chi2]
    damping, converged, why = how.damping_start, False, f"stopped after {how.max_cycles} cycles without converging"
    cycles, still = 0, 0
    while cycles < how.max_cycles:
        point = point if state.point is None else state.point
        left = _joint_shift(state, observations)
        if cycles and left < how.joint_shift:
            converged, why = True, f"converged in {cycles} cycles, whole remaining shift {left:.2g} s.u."
            break
        step = _try_steps(point, state, evaluate, limit, damping, how)
        if step is None:
            converged, why = _stationary(state, observations, rounding, how)
            break
        trial, shift, damping = step
        cycles += 1
        drop = (state.chi2 - trial.chi2) / max(state.chi2, 1e-300)
        factor = _variance_factor(state.chi2, observations, len(point))
        ratio = _largest_ratio(shift, np.diag(covariance_of(_required(state.normal))[0]) * factor)
        small = ratio < how.shift_over_su or drop < how.relative_chi2 or trial.chi2 <= rounding
        point = point + shift if trial.point is None else trial.point
        history.append(trial.chi2)
        if progress is not None:
            progress(cycles, trial.chi2)
        still = still + 1 if drop < how.relative_chi2 else 0
        free = damping <= how.damping_start  # a damped step is short by itself
        state = evaluate(point, True)
        if state.chi2 <= rounding:
            converged, why = True, f"converged in {cycles} cycles to the data within rounding"
            break
        if small and (free or still >= 3):
            converged, why = True, f"converged in {cycles} cycles, last shift at most {max(ratio, 1e-4):.2g} s.u."
            if not free:
                why = f"converged in {cycles} cycles: damped steps no longer lower the sum of squares"
            break
    point = point if state.point is None else state.point
    covariance, singular = covariance_of(_required(state.normal))
    if singular:
        why += "; not determined by the data: " + ", ".join(names[i] for i in singular[:6])
    return Fit(
        values=point,
        covariance=covariance * _variance_factor(state.chi2, observations, len(point)),
        chi2=state.chi2,
        cycles=cycles,
        converged=converged,
        verdict=why,
        singular=singular,
        history=tuple(history),
    )


def _required(normal: Floats | None) -> Floats:
    if normal is None:
        raise ValueError("the model gave no normal matrix where one was asked for")
    return normal


def _variance_factor(chi2: float, observations: int, parameters: int) -> float:
    return chi2 / max(1, observations - parameters)


def _largest_ratio(shift: Floats, variance: Floats) -> float:
    finite = np.isfinite(variance) & (variance > 0)
    return float(np.max(np.abs(shift[finite]) / np.sqrt(variance[finite]), initial=0.0))


def _joint_shift(state: Evaluation, observations: int) -> float:
    gradient, normal = np.asarray(state.gradient), _required(state.normal)
    factor = _variance_factor(state.chi2, observations, len(gradient))
    decrement = float(gradient @ solve_damped(normal, gradient, 1e-12))
    return math.sqrt(max(0.0, decrement) / max(factor, 1e-300))


def _try_steps(
    point: Floats, state: Evaluation, evaluate: Evaluate, limit: Floats, damping: float, how: Control
) -> tuple[Evaluation, Floats, float] | None:
    gradient, normal = state.gradient, _required(state.normal)
    if gradient is None:
        raise ValueError("the model gave no gradient where one was asked for")
    for _ in range(how.attempts):
        shift = solve_damped(normal, gradient, damping)
        shift = np.clip(shift, -limit, limit)
        trial = evaluate(point + shift, False)
        if math.isfinite(trial.chi2) and trial.chi2 < state.chi2:
            return trial, shift, max(damping / 10, 1e-12)
        damping = max(damping * 10, 1e-3)  # less does not shorten a step
    return None


def _stationary(state: Evaluation, observations: int, rounding: float, how: Control) -> tuple[bool, str]:
    """No step lowers χ²: either the minimum is reached within rounding, or the model and its gradient disagree."""
    if state.chi2 <= rounding:
        return True, "converged to the data within rounding"
    shift = solve_damped(_required(state.normal), np.asarray(state.gradient), 0.0)
    variance = np.diag(covariance_of(_required(state.normal))[0])
    ratio = _largest_ratio(shift, variance * _variance_factor(state.chi2, observations, len(shift)))
    if ratio < 10 * how.shift_over_su:
        return True, f"converged: no further step lowers the sum of squares (shift {ratio:.2g} s.u.)"
    return False, f"stopped: no step lowers the sum of squares although the shift would be {ratio:.2g} s.u."
