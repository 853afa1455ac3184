"""One exposure solved sector by sector: neighbouring directions share their near beams and what the far ones do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.physics.column import ThicknessBasis, integrated_intensity, mean_rocking_curve
from twin.physics.far_beams import bethe_potential, coupling, far_amplitudes
from twin.physics.kinematical import kinematical_amplitudes
from twin.physics.lattice import Floats, Ints
from twin.physics.potential import PotentialTable, potential_matrix
from twin.physics.propagation import is_single, propagate
from twin.simulate.bending import Strips, strip_intensity, strip_rocking_curve

_SIZES = (2, 4, 8, 12, 16, 24, 32, 64)
_SPREAD = 0.9
_FIXED_COLUMNS = 25.0  # work of a sector that does not depend on its directions: setting up, far beams


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What there is to solve: beams (N), the direct one first, at directions (S).

    table: with absorption where it is asked for; hermitian: without. length (N,): |g|. cosine (N, S): g_n/K_n. strips:
    of a bent particle. Beams with |s| ≤ s_max are near, those with |s| ≤ far act as a perturbation; those with
    |s| ≤ tail somewhere have an intensity of their own.
    """

    table: PotentialTable
    hermitian: PotentialTable
    hkl: Ints
    length_per_angstrom: Floats
    excitation_error: Floats
    cosine: Floats
    wavenumber_per_angstrom: float
    basis: ThicknessBasis
    strips: Strips | None
    s_max_per_angstrom: float
    tail_per_angstrom: float
    far_per_angstrom: float
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solved:
    """near (M,): rows propagated; amplitudes (J, M, S), 0 where they are far; tail (N, S): intensity there."""

    near: Ints
    amplitudes: NDArray[Any]
    tail: Floats


def many_beam(frame: Frame) -> Solved:
    """Near beams by propagation, far ones by perturbation."""
    s = np.abs(frame.excitation_error)
    parts = sectors(frame.excitation_error, frame.length_per_angstrom, frame.s_max_per_angstrom)
    is_near = [(s[:, c] <= frame.s_max_per_angstrom).any(axis=1) for c in parts]
    near = np.flatnonzero(np.logical_or.reduce(is_near))
    place = np.full(len(s), -1)
    place[near] = np.arange(near.size)
    kind = np.complex64 if is_single(frame.dtype) else np.complex128
    amplitudes = np.zeros((frame.basis.weight.size, near.size, s.shape[1]), dtype=kind)
    tail = np.zeros(s.shape)
    drawn = s.min(axis=1) <= frame.tail_per_angstrom
    for columns, inside in zip(parts, is_near, strict=True):
        rows, others = np.flatnonzero(inside), np.flatnonzero(~inside)
        closest = s[others, columns].min(axis=1)
        used = drawn[others] | (closest <= frame.far_per_angstrom)
        others, closest = others[used], closest[used]
        near_far = coupling(frame.hermitian, frame.hkl[rows], frame.hkl[others], single=is_single(frame.dtype))
        psi = _propagate(frame, rows, others, closest <= frame.far_per_angstrom, near_far, columns)
        amplitudes[:, place[rows], columns.start : columns.stop] = psi
        shown = drawn[others]
        tail[others[shown], columns] = _tail(frame, others[shown], near_far[:, shown], columns, psi)
    return Solved(near=near, amplitudes=amplitudes, tail=tail)


def single_scattering(frame: Frame) -> Solved:
    """The kinematical engine in the same form."""
    s, k = frame.excitation_error, frame.wavenumber_per_angstrom
    potential = np.asarray(frame.table.values[tuple((frame.hkl + np.array(frame.table.limits)).T)])
    beyond = np.abs(s) > frame.s_max_per_angstrom
    near = np.flatnonzero(~beyond.all(axis=1))
    amplitudes = kinematical_amplitudes(
        potential=potential[near],
        excitation_error=s[near],
        wavenumber_per_angstrom=k,
        thickness_angstrom=frame.basis.thickness_angstrom,
    )
    amplitudes[:, beyond[near]] = 0.0
    if frame.strips is None:
        curve = mean_rocking_curve(basis=frame.basis, excitation_error=s)
    else:
        curve = strip_rocking_curve(strips=frame.strips, basis=frame.basis, excitation_error=s)
    tail = np.where(beyond, (np.pi * np.abs(potential[:, None]) / k) ** 2 * curve, 0.0)
    return Solved(near=near, amplitudes=amplitudes, tail=tail)


def integrated(frame: Frame, amplitudes: NDArray[Any], steps: slice) -> Floats:
    """Intensity (N, s) over the particle of amplitudes (J, N, s) at the nodes, of some steps of the exposure."""
    if frame.strips is None:
        return integrated_intensity(basis=frame.basis, amplitudes=amplitudes)
    return strip_intensity(strips=frame.strips, amplitudes=amplitudes, steps=steps)


def sectors(excitation_error: Floats, g_per_angstrom: Floats, s_max_per_angstrom: float) -> list[slice]:
    """Contiguous directions of s (N, S), |g| (N,) that are solved together, of the size that costs least.

    Few directions have few beams near at one of them, many share what a sector costs at least. They are so close that
    s of a beam with |g| = 1 Å⁻¹ changes by no more than s_max from one end to the other, since the far beams act on
    all of them by their mean. Measured on ITO, 10 nm, 1.2°, 0.03 Å⁻¹: R1 0.7 % for fifths of the circle, 2 % for all.
    """
    count = excitation_error.shape[1]
    near = np.abs(excitation_error) <= s_max_per_angstrom
    best = [slice(i, i + 1) for i in range(count)]
    least = np.inf
    for size in _SIZES:
        pieces = -(-count // size)
        edges = [count * i // pieces for i in range(pieces + 1)]
        trial = [slice(a, b) for a, b in pairwise(edges)]
        if max(_spread(excitation_error[:, c], g_per_angstrom) for c in trial) > _SPREAD * s_max_per_angstrom:
            break
        cost = sum(float(near[:, c].any(axis=1).sum()) ** 2 * (c.stop - c.start + _FIXED_COLUMNS) for c in trial)
        if cost < least:
            best, least = trial, cost
        if size >= count:
            break
    return best


def _spread(excitation_error: Floats, g_per_angstrom: Floats) -> float:
    """Largest change of s/|g| between the ends of a sector: the angle that it spans in radians."""
    change = np.abs(excitation_error[1:, -1] - excitation_error[1:, 0]) / g_per_angstrom[1:]
    return float(change.max(initial=0.0))


def _propagate(
    frame: Frame, rows: Ints, others: Ints, far: NDArray[np.bool_], near_far: NDArray[Any], columns: slice
) -> NDArray[Any]:
    """(J, n, s) amplitudes of the near beams under the perturbation by the ``far`` ones of the ``others``."""
    potential = potential_matrix(frame.table, frame.hkl[rows])
    if far.any():
        potential = potential + bethe_potential(
            near_far=near_far if far.all() else near_far[:, far],
            excitation_error=frame.excitation_error[others[far], columns],
            wavenumber_per_angstrom=frame.wavenumber_per_angstrom,
            thickness_angstrom=float(np.average(frame.basis.thickness_angstrom, weights=frame.basis.weight)),
        )
    return propagate(
        potential=potential,
        excitation_error=frame.excitation_error[rows, columns],
        wavenumber_per_angstrom=frame.wavenumber_per_angstrom,
        thickness_angstrom=frame.basis.thickness_angstrom,
        normal_cosine_ratio=frame.cosine[rows, columns],
        dtype=frame.dtype,
    )


def _tail(frame: Frame, shown: Ints, near_far: NDArray[Any], columns: slice, psi: NDArray[Any]) -> Floats:
    """(m, s) intensity of far beams."""
    waves = far_amplitudes(
        near_far=near_far,
        near=psi,
        excitation_error=frame.excitation_error[shown, columns],
        wavenumber_per_angstrom=frame.wavenumber_per_angstrom,
        thickness_angstrom=frame.basis.thickness_angstrom,
        mean_potential=complex(frame.table.values[frame.table.limits]),
    )
    return integrated(frame, waves, columns)
