"""The cut-off in excitation error that a series needs: one exposure of it solved at rising cut-offs.

R1 = Σ|√I − √I_finer| / Σ√I_finer over the reflections whose Bragg condition is met in the exposure. Far beams act as a
perturbation at every cut-off, so that the change falls quickly; a rung is judged by the one two above it, more than
twice as far. A quarter of an exposure is looked at, which averages less than a whole one: the estimate is on the safe
side (ITO, 10 nm, 0.03 Å⁻¹: 0.9 %, against 0.15 Å⁻¹ and far beams to 0.35 Å⁻¹ 0.7 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from twin.model.crystal import Crystal
from twin.model.instrument import Beam
from twin.model.specimen import Particle, Pose
from twin.model.truth import Truth
from twin.physics.lattice import Floats, Ints, rotation_matrix
from twin.simulate.engine import START_S_MAX_PER_ANGSTROM, Engine, Sampling, middle_rotation
from twin.simulate.exposure import exposure_of
from twin.simulate.waves import exposure_waves
from twin.specimen.mounting import as_matrix3
from twin.specimen.shapes import body_axes, maximum_thickness_angstrom

Solution = tuple[Ints, Floats]
TOLERANCE_R1 = 0.01
LADDER = (0.015, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.22)
_LEAST_LIMIT = 0.07
_THICKNESSES = 10.0  # 99 % of a rocking curve is within ten over the thickness
_MOST_DIRECTIONS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """s_max_per_angstrom, and the R1 that the estimate says is left (nan: not asked for)."""

    s_max_per_angstrom: float
    r1: float


def series_cut_off(*, truth: Truth, pose: Pose, engine: Engine) -> CutOff:
    """The engine's own cut-off, or one for all frames of a series with such an exposure.

    What is solved is the particle at stage zero under the middle of the beam, so that no frame depends on another.
    """
    if engine.s_max_per_angstrom is not None:
        return CutOff(s_max_per_angstrom=engine.s_max_per_angstrom, r1=math.nan)
    if engine.kind != "bloch":
        return CutOff(s_max_per_angstrom=START_S_MAX_PER_ANGSTROM, r1=math.nan)
    sweep = round(math.degrees(float(np.linalg.norm(middle_rotation(pose)[1]))), 3)
    straight = replace(truth.particle, bending_deg_per_nm=0.0)
    return _adaptive(truth.crystal, straight, truth.microscope.beam, pose.precession_deg, sweep, engine)


@lru_cache(maxsize=16)
def _adaptive(
    crystal: Crystal, particle: Particle, beam: Beam, precession_deg: float, sweep_deg: float, engine: Engine
) -> CutOff:
    half = rotation_matrix(axis=[1.0, 0.0, 0.0], angle_deg=0.5 * sweep_deg)
    pose = Pose(
        index=0,
        rotation_start=as_matrix3(half.T),
        rotation_end=as_matrix3(half),
        precession_deg=precession_deg,
        exposure_s=1.0,
        shift_nm=(0.0, 0.0),
        centre_px=(0.0, 0.0),
    )

    def solve(s_max_per_angstrom: float) -> Solution:
        now = replace(engine, s_max_per_angstrom=s_max_per_angstrom)
        exposure = exposure_of(particle=particle, cell=crystal.cell, beam=beam, pose=pose, engine=now)
        basis, sampling = exposure.shadow.basis, _arc(exposure.sampling)
        if basis is None:
            return np.zeros((0, 3), dtype=np.int64), np.zeros(0)
        waves = exposure_waves(
            crystal=crystal,
            energy_kev=beam.energy_kev,
            orientation=exposure.orientation,
            sampling=sampling,
            engine=now,
            basis=basis,
        )
        rows = _met(waves.excitation_error, exposure.shadow.maximum_angstrom)
        return waves.hkl[rows], waves.intensity[rows] @ sampling.weight

    thick = maximum_thickness_angstrom(
        particle=particle, axes_lab=np.array(particle.mounting) @ body_axes(particle, crystal.cell)
    )
    return rising_cut_off(solve, highest_per_angstrom=max(_LEAST_LIMIT, _THICKNESSES / thick))


def rising_cut_off(
    solve: Callable[[float], Solution], *, tolerance_r1: float = TOLERANCE_R1, highest_per_angstrom: float = LADDER[-1]
) -> CutOff:
    """Smallest rung of ``LADDER`` whose estimated error is within the tolerance, or the last that is judged.

    solve: s_max -> (hkl (n, 3), intensity (n,)); it is not asked beyond ``highest_per_angstrom``.
    """
    ladder = [s for s in LADDER if s <= highest_per_angstrom + 1e-9]
    rungs = [solve(s) for s in ladder[:2]]
    error = math.inf
    for i in range(len(ladder) - 2):
        rungs.append(solve(ladder[i + 2]))
        error = _r1(rungs[i], rungs[i + 2])
        if error <= tolerance_r1:
            break
    return CutOff(s_max_per_angstrom=ladder[i], r1=error)


def _arc(sampling: Sampling) -> Sampling:
    """A quarter of the directions, 8 to 24, neighbours as in a frame's sectors; all when there are few."""
    count = len(sampling.weight)
    part = slice(0, min(count, max(8, count // 4), _MOST_DIRECTIONS))
    weight = sampling.weight[part]
    return replace(
        sampling, directions=sampling.directions[part], turns=sampling.turns[part], weight=weight / weight.sum()
    )


def _met(excitation_error: Floats, thickness_angstrom: float) -> Ints:
    """Rows of (N, S) whose Bragg condition is met in the exposure, or to within half of 1/t; not the direct beam."""
    s = excitation_error
    inside = (s.min(axis=1) <= 0.0) & (s.max(axis=1) >= 0.0)
    inside |= np.abs(s).min(axis=1) <= 0.5 / max(thickness_angstrom, 1.0)
    inside[0] = False
    return np.flatnonzero(inside)


def _r1(one: Solution, finer: Solution) -> float:
    known = {tuple(h): float(i) for h, i in zip(finer[0].tolist(), finer[1], strict=True)}
    reference = np.sqrt([known.get(tuple(h), 0.0) for h in one[0].tolist()])
    total = float(reference.sum())
    return float(np.abs(np.sqrt(one[1]) - reference).sum()) / total if total > 0.0 else 0.0
