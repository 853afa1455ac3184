"""The least squares of many frames from the slope of each frame's χ² alone: partitioned quasi-Newton steps.

χ² is a sum of terms of which each depends on few parameters: the structure and what belongs to its frame. Every term
keeps a matrix of second derivatives of its own, which begins as that of Gauss and Newton and learns from how the
term's gradient changes along each step (Griewank & Toint, Numer. Math. 39 (1982) 119), by the BFGS formula with
Powell's damping, which keeps it positive (Nocedal & Wright, Numerical Optimization (2006), procedure 18.2). So it comes
to hold what Gauss and Newton leave out, the residuals times second derivatives: with residuals of some percent and
turns of frames as parameters, their steps alone overshoot and zigzag. Steps are damped after Marquardt (J. SIAM 11
(1963) 431).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.refinement.least_squares import solve_damped
from twin.physics.lattice import Floats, Ints

_ATTEMPTS = 12
_EXACT = 0.01
_NOISE = 1e-8  # of a term: a smaller change of it teaches nothing in 32 bit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """χ² of every term (E,) and its descents −½ ∂χ²/∂x, each by the parameters of its term.

    calculated: what each of the frames' terms compares with its data, (M,) each; nothing where the model has none.
    """

    chi2: Floats
    descents: tuple[Floats, ...]
    calculated: tuple[Floats, ...] = ()

    @property
    def total(self) -> float:
        return float(self.chi2.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """joint_shift: converged when the whole remaining shift √(gᵀ B⁻¹ g) is below this, in its s.u.

    relative_chi2: or when ``patience`` steps in a row lower χ² by less than this fraction. rounding: χ² below which the
    model reproduces the data as well as numbers allow. freedom: observations less parameters.
    noiseless: χ² below which an s.u. is that of rounding, and steps go on to a hundredth of it.
    """

    max_cycles: int
    joint_shift: float
    relative_chi2: float
    rounding: float
    freedom: int
    noiseless: float = 0.0
    patience: int = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """Where it ended: values (P,), the terms there and their matrices (p_e, p_e), cycles (accepted steps), and why."""

    values: Floats
    terms: Terms
    matrices: tuple[Floats, ...]
    cycles: int
    converged: bool
    why: str
    history: tuple[float, ...]


def descend(
    *,
    start: Floats,
    columns: Sequence[Ints],
    matrices: Sequence[Floats],
    evaluate: Callable[[Floats], Terms],
    max_shift: Floats,
    ending: Ending,
    begun: Terms | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Descent:
    """Minimise Σ χ²_e from ``start`` (P,). columns: which parameters each term depends on; matrices: ½ ∂²χ²_e.

    begun: the terms at ``start`` where they are known.
    """
    point, learned = np.array(start, dtype=np.float64), [np.array(m) for m in matrices]
    here, damping, still = evaluate(point) if begun is None else begun, 1e-4, 0
    history, converged, why = [here.total], False, "they were not enough to converge"
    while True:
        cycles = len(history) - 1
        factor = here.total / max(1, ending.freedom)
        if here.total <= ending.rounding:
            converged, why = True, "the data are met within rounding"
            break
        left = remaining_shift(here, learned, columns, factor=factor)
        limit = ending.joint_shift * (_EXACT if here.total < ending.noiseless else 1.0)
        if cycles and (left < limit or still >= ending.patience):
            converged, why = True, f"whole remaining shift {left:.2g} s.u."
            break
        if cycles >= ending.max_cycles:
            break
        step = _step(point, here, learned, columns, evaluate, max_shift, damping, ending.rounding / len(columns))
        if step is None:
            converged = left < 5.0 * ending.joint_shift
            why = f"no further step lowers the sum of squares (whole remaining shift {left:.2g} s.u.)"
            break
        shift, trial, damping = step
        still = still + 1 if here.total - trial.total < ending.relative_chi2 * here.total else 0
        point, here = point + shift, trial
        history.append(here.total)
        if progress is not None:
            progress(len(history) - 1, here.total)
    return Descent(
        values=point,
        terms=here,
        matrices=tuple(learned),
        cycles=len(history) - 1,
        converged=converged,
        why=why,
        history=tuple(history),
    )


def assembled(parts: Sequence[Floats], columns: Sequence[Ints], size: int) -> Floats:
    """(P,) from vectors or (P, P) from matrices of the terms."""
    total = np.zeros((size,) * parts[0].ndim)
    for part, where in zip(parts, columns, strict=True):
        total[np.ix_(*(where,) * part.ndim)] += part
    return total


def learn(matrix: Floats, shift: Floats, change: Floats, *, least: float) -> Floats:
    """Matrix (p, p) of second derivatives after a ``shift`` (p,) that changed the gradient by ``change`` (p,).

    As it was when the step is expected to change the term by less than ``least``.
    """
    pushed = matrix @ shift
    expected = float(shift @ pushed)
    if expected <= least:
        return matrix
    found = float(shift @ change)
    share = 1.0 if found >= 0.2 * expected else 0.8 * expected / (expected - found)
    mixed = share * change + (1.0 - share) * pushed
    return np.asarray(matrix - np.outer(pushed, pushed) / expected + np.outer(mixed, mixed) / float(shift @ mixed))


def remaining_shift(here: Terms, matrices: Sequence[Floats], columns: Sequence[Ints], *, factor: float) -> float:
    """√(gᵀ B⁻¹ g / factor): the step to the minimum of the quadratic, in s.u.; factor: χ² per degree of freedom."""
    size = 1 + max(int(c.max()) for c in columns)
    gradient, matrix = assembled(here.descents, columns, size), assembled(matrices, columns, size)
    decrement = float(gradient @ solve_damped(matrix, gradient, 1e-12))
    return math.sqrt(max(0.0, decrement) / max(factor, 1e-300))


def _step(
    point: Floats,
    here: Terms,
    learned: list[Floats],
    columns: Sequence[Ints],
    evaluate: Callable[[Floats], Terms],
    max_shift: Floats,
    damping: float,
    noise: float,
) -> tuple[Floats, Terms, float] | None:
    """(shift, terms there, next damping) of a step that lowers χ², or None. ``learned`` is brought up to date.

    noise: change of a term that is below rounding.
    """
    gradient = assembled(here.descents, columns, len(point))
    for _ in range(_ATTEMPTS):
        matrix = assembled(learned, columns, len(point))
        shift = np.clip(solve_damped(matrix, gradient, damping), -max_shift, max_shift)
        trial = evaluate(point + shift)
        if math.isfinite(trial.total):
            for e, where in enumerate(columns):
                change = here.descents[e] - trial.descents[e]
                learned[e] = learn(learned[e], shift[where], change, least=max(_NOISE * float(here.chi2[e]), noise))
            if trial.total < here.total:
                expected = 2.0 * float(gradient @ shift) - float(shift @ matrix @ shift)
                ratio = (here.total - trial.total) / max(expected, 1e-300)
                after = damping / 10 if ratio > 0.75 else damping if ratio > 0.25 else 4 * damping
                return shift, trial, max(after, 1e-9)
        damping = max(damping * 10, 1e-3)  # less does not shorten a step
    return None
