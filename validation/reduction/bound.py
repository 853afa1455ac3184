"""What photon noise leaves to know of the orientations of frames, were all else known.

Of every frame the Fisher information of its centre, its turn about x, y, z and its scale, from the intensities and
positions of all reflections that it excites, weak ones too: intensities of the lattice, the shape of spots, their
background, the crystal's orientation and the instrument are taken as known. Errors that are drawn from a distribution
which the reduction may learn (the jitter) are known that well beforehand (van Trees), and the direct beam tells the
centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.projection import distortion_matrix
from validation.reduction.frames import BEAM_COUNTS, Exposure, Scene, exposure, level_at, on_detector, positions
from validation.reduction.information import amplitude_information, position_information

Floats = NDArray[np.float64]

DRAWS = 200
LEAST_ELECTRONS = 0.01


def frame_information(scene: Scene, frame: int) -> Floats:
    """(6, 6): centre fast and slow in px, turns about x, y, z in radians, logarithm of the scale."""
    c = scene.conditions
    e = exposure(scene, frame)
    near = np.flatnonzero(np.maximum(e.electrons, np.abs(e.slope) * scene.width_per_angstrom) > LEAST_ELECTRONS)
    xy = positions(scene, frame, e.g[near])
    inside = on_detector(xy)
    near, xy = near[inside], xy[inside]
    level = level_at(scene, frame, xy)
    g, electrons = e.g[near], e.electrons[near]
    rows = _intensity_rows(e, near)
    out = np.einsum("n,ni,nj->ij", amplitude_information(electrons, level), rows, rows)
    moves = _position_rows(scene, g)
    out += np.einsum("n,nci,ncj->ij", position_information(electrons, level), moves, moves)
    turn = np.radians(max(c.jitter_deg, 1e-6)) ** -2.0
    out += np.diag([0.0, 0.0, turn, turn, turn, max(c.scale_sd, 1e-6) ** -2.0])
    out[[0, 1], [0, 1]] += 2.0 * np.pi * BEAM_COUNTS  # Σ (∂μ/∂x)²/μ of a Gaussian spot without background
    return np.asarray(out)


def _intensity_rows(e: Exposure, near: NDArray[np.int64]) -> Floats:
    """Derivatives (n, 6) of the electrons of each reflection; a turn ω moves g by ω × g, and s falls with g_z."""
    g, slope = e.g[near], e.slope[near]
    rows = np.zeros((len(near), 6))
    rows[:, 2], rows[:, 3] = -slope * g[:, 1], slope * g[:, 0]
    rows[:, 5] = e.electrons[near]
    return rows


def _position_rows(scene: Scene, g: Floats) -> Floats:
    """Derivatives (n, 2, 6) of the positions in px, for small angles of scattering."""
    p = scene.actual.projection
    ellipse = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    k = wavenumber_per_angstrom(energy_kev=scene.actual.beam.energy_kev)
    per_angstrom = p.camera_length_mm * 1e3 / scene.actual.detector.pixel_size_um / k
    rows = np.zeros((len(g), 2, 6))
    rows[:, 0, 0] = rows[:, 1, 1] = 1.0
    moved = np.zeros((len(g), 2, 3))
    moved[:, 1, 0], moved[:, 0, 1] = -g[:, 2], g[:, 2]
    moved[:, 0, 2], moved[:, 1, 2] = -g[:, 1], g[:, 0]
    rows[:, :, 2:5] = per_angstrom * ellipse @ moved
    return rows


def turn_covariances_deg2(scene: Scene) -> Floats:
    """(frames, 3, 3) of the turns, in degrees squared, with centre and scale unknown."""
    every = [np.linalg.inv(frame_information(scene, f))[2:5, 2:5] for f in range(len(scene.alpha_deg))]
    return np.asarray(np.degrees(np.degrees(np.array(every))))


def least_median_error_deg(scene: Scene) -> float:
    """Median over frames of the angle by which the best estimator would be off, mean of DRAWS draws of its errors."""
    root = np.linalg.cholesky(turn_covariances_deg2(scene))
    rng = np.random.default_rng(1)
    errors = np.einsum("fij,dfj->dfi", root, rng.normal(size=(DRAWS, len(root), 3)))
    return float(np.mean(np.median(np.linalg.norm(errors, axis=2), axis=1)))
