"""How frames are made: the choice of engine as a value, and the directions that make up one exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import ndtri

from twin.model.specimen import Pose
from twin.physics.ewald import precession_directions
from twin.physics.lattice import Floats

START_S_MAX_PER_ANGSTROM = 0.02
_MAX_STEPS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Forward engine. Steps and nodes are the least that are used; thick particles get more.

    g_max_per_angstrom: beams that are coupled and rendered. s_max_per_angstrom: beams with |s_g| up to it somewhere in
    a sector of the exposure are coupled there; those up to far_s_max_per_angstrom act as a perturbation. None: the
    least that leaves an estimated R1 of 1 % in the series, see :mod:`twin.simulate.cutoff`. spot_modes: terms of
    the spot shape in the column approximation. slice_angstrom, phonon_configurations (0: atoms at rest, damped by
    their U): of multislice, which draws every beam to g_max. film_as_atoms: there the carbon membrane is atoms too
    where the field of view is, behind the particle and across the beam.
    """

    kind: Literal["bloch", "kinematical", "multislice"] = "bloch"
    g_max_per_angstrom: float = 2.0
    s_max_per_angstrom: float | None = START_S_MAX_PER_ANGSTROM
    far_s_max_per_angstrom: float = 0.15
    azimuth_steps: int = 32
    rotation_steps: int = 16
    thickness_nodes: int = 9
    absorption: bool = True
    spot_modes: int = 5
    dtype: Literal["float32", "float64"] = "float32"
    slice_angstrom: float = 1.0
    phonon_configurations: int = 0
    film_as_atoms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampling:
    """One exposure as a set of weighted stills seen from the lattice at mid-exposure.

    middle (3, 3): rotation of the crystal at mid-exposure. directions (S, 3): beam directions that leave the lattice
    where it is at the middle. turns (S, 3, 3): takes g of the middle to g at the step. weight (S,), sums to 1.
    """

    middle: Floats
    directions: Floats
    turns: Floats
    weight: Floats


def middle_rotation(pose: Pose) -> tuple[Floats, Floats]:
    """(rotation of the crystal at mid-exposure (3, 3), rotation vector of the whole exposure (3,) in radians)."""
    start, end = np.array(pose.rotation_start), np.array(pose.rotation_end)
    sweep = Rotation.from_matrix(end @ start.T).as_rotvec()
    return np.asarray(Rotation.from_rotvec(0.5 * sweep).as_matrix() @ start), np.asarray(sweep)


def sample_exposure(*, pose: Pose, engine: Engine, thickness_angstrom: float, mosaicity_deg: float) -> Sampling:
    """Directions of the precession cone, of the rotation during the exposure, or of a still; mosaic spread folded in.

    thickness_angstrom: of the thickest column. An intensity on the cone holds harmonics of the azimuth up to
    2π sin(φ) g t (those of exp(2πi t s)), so that a few more steps than that sum it; other exposures take steps in
    which s changes by at most half of 1/t at g_max.
    """
    middle, sweep = middle_rotation(pose)
    angle = float(np.linalg.norm(sweep))
    if pose.precession_deg > 0.0:
        path = 2 * math.pi * math.sin(math.radians(pose.precession_deg))
        harmonics = path * engine.g_max_per_angstrom * thickness_angstrom
        count = min(_MAX_STEPS, max(engine.azimuth_steps, math.ceil(harmonics) + 12))
        directions = precession_directions(precession_deg=pose.precession_deg, steps=count)
        turns = np.broadcast_to(np.eye(3), (count, 3, 3))
    else:
        least = engine.rotation_steps if angle > 1e-9 else (32 if mosaicity_deg > 0 else 1)
        count = _steps(angle, least, thickness_angstrom, engine.g_max_per_angstrom)
        fraction = (np.arange(count) + 0.5) / count - 0.5
        turns = Rotation.from_rotvec(fraction[:, None] * sweep[None, :]).as_matrix()
        directions = turns[:, 2, :].copy()  # Rᵀ z
    if mosaicity_deg > 0.0:
        directions = _mosaic(directions, math.radians(mosaicity_deg))
    return Sampling(middle=middle, directions=directions, turns=turns, weight=np.full(count, 1.0 / count))


def _steps(path_rad: float, least: int, thickness_angstrom: float, g_per_angstrom: float) -> int:
    return min(_MAX_STEPS, max(least, math.ceil(2.0 * path_rad * g_per_angstrom * thickness_angstrom)))


def _mosaic(directions: Floats, sd_rad: float) -> Floats:
    """Each direction tilted by its own point of a Gaussian, from an additive low-discrepancy sequence in the plane."""
    n = np.arange(1, len(directions) + 1)[:, None]
    golden = 1.32471795724474602596  # plastic number: x³ = x + 1
    uniform = (0.5 + n * np.array([1.0 / golden, 1.0 / golden**2])) % 1.0
    tilted = directions.copy()
    tilted[:, :2] += sd_rad * ndtri(uniform)
    return np.asarray(tilted / np.linalg.norm(tilted, axis=1, keepdims=True))
