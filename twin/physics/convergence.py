"""How far the beams of a calculation must reach: an adaptive cut-off in excitation error with an estimate of its error.

Intensities are compared between cut-offs on a few of the frame's directions, by R1 = Σ|√I − √I_ref| / Σ√I_ref over the
reflections whose Bragg condition is met inside the exposure. Beams of upper layers come in one by one, each with a
share that is as likely to add as to take away, so changes add in squares and fall as 1/√s_max: from s₁ to s₂ the change
is C √(1/s₁ − 1/s₂), and what is missing beyond s is C/√s. C comes from the last two changes. What a table with a finite
g_max leaves out is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from twin.model.crystal import Crystal
from twin.physics.bloch import BlochResult, bloch_amplitudes
from twin.physics.lattice import Floats, Ints
from twin.physics.potential import PotentialTable

LADDER = (0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.19, 0.28, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The smallest cut-off that was good enough. error: estimated R1 that remains; steps: (s_max, R1 to the next)."""

    s_max_per_angstrom: float
    error: float
    converged: bool
    steps: tuple[tuple[float, float], ...]


def frame_intensities(result: BlochResult) -> Floats:
    """Intensities averaged over the directions, (J, N)."""
    return np.asarray((np.abs(result.amplitudes) ** 2).mean(axis=2))


def crossed(result: BlochResult) -> Ints:
    """Rows whose excitation error changes sign during the exposure (all but the direct beam for one direction)."""
    s = result.excitation_error
    met = (s.min(axis=1) <= 0.0) & (s.max(axis=1) >= 0.0) if s.shape[1] > 1 else np.ones(len(s), dtype=bool)
    met[0] = False
    return np.flatnonzero(met)


def r1(intensity: Floats, reference: Floats) -> float:
    """Σ|√I − √I_ref| / Σ√I_ref."""
    root = np.sqrt(reference)
    return float(np.abs(np.sqrt(intensity) - root).sum() / root.sum())


def r1_between(one: BlochResult, reference: BlochResult, *, node: int = -1) -> float:
    """R1 of the crossed reflections of ``one`` against the same reflections of a calculation with more beams."""
    row = {tuple(h): i for i, h in enumerate(reference.hkl.tolist())}
    mine = crossed(one)
    theirs = np.array([row[tuple(h)] for h in one.hkl[mine].tolist()])
    return r1(frame_intensities(one)[node, mine], frame_intensities(reference)[node, theirs])


def adaptive_cut_off(
    *,
    crystal: Crystal,
    table: PotentialTable,
    reciprocal_lab: ArrayLike,
    directions: ArrayLike,
    thickness_angstrom: float,
    goal: float = 0.01,
    sample: int = 8,
    ladder: tuple[float, ...] = LADDER,
) -> CutOff:
    """Raise s_max along ``ladder`` until the estimated R1 that remains is below ``goal``.

    ``sample`` of the directions (S, 3) are looked at, in 32 bit; g_max is that of the table.
    """
    d = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    chosen = d[np.unique(np.linspace(0, len(d), sample, endpoint=False).astype(int))]
    last: BlochResult | None = None
    steps: list[tuple[float, float]] = []
    for i, s_max in enumerate(ladder):
        result = bloch_amplitudes(
            crystal=crystal,
            reciprocal_lab=reciprocal_lab,
            directions=chosen,
            energy_kev=table.energy_kev,
            thickness_angstrom=[thickness_angstrom],
            g_max_per_angstrom=table.g_max_per_angstrom,
            s_max_per_angstrom=s_max,
            table=table,
            dtype=np.float32,
        )
        if last is not None:
            steps.append((ladder[i - 1], r1_between(last, result)))
        last = result
        if len(steps) >= 2 and _remaining(steps, s_max) <= goal:
            break
    error = _remaining(steps, s_max)
    return CutOff(s_max_per_angstrom=s_max, error=error, converged=error <= goal, steps=tuple(steps))


def _remaining(steps: list[tuple[float, float]], s_max: float) -> float:
    """C/√s_max, C from the last two of ``steps`` (s, change to the next), the next of the last one being ``s_max``."""
    (first, before), (_, last) = steps[-2:]
    return math.sqrt((before**2 + last**2) / (1.0 / first - 1.0 / s_max) / s_max)
