"""From reciprocal space in the laboratory to detector pixels and back.

The component of g across the beam decides where a reflection lands, whatever the (descanned) tilt of the beam: the
wave leaves with K_xy + g_xy, and the descan takes K_xy away again. A flat detector at the effective camera length L
then sees x = L g_x / √(k² − g_xy²). The projector's ellipse stretches the pattern by 1 ± e along its two axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from twin.model.instrument import Microscope
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import Floats


def distortion_matrix(*, ellipse_percent: float, ellipse_azimuth_deg: float) -> Floats:
    """Symmetric (2, 2) matrix that stretches by 1 + e along the azimuth and 1 − e across it."""
    azimuth = np.radians(ellipse_azimuth_deg)
    c, s = np.cos(2 * azimuth), np.sin(2 * azimuth)
    return np.asarray(np.eye(2) + 0.01 * ellipse_percent * np.array([[c, s], [s, -c]]))


def pixels_from_g(*, g_xy: ArrayLike, microscope: Microscope, centre_px: ArrayLike | None = None) -> Floats:
    """Detector position (fast, slow) in px of reflections with lateral components ``g_xy`` (..., 2) in Å⁻¹.

    ``centre_px``: (2,) or (..., 2) direct-beam position; the microscope's own centre when it is None.
    """
    p = microscope.projection
    g = np.asarray(g_xy, dtype=np.float64)
    k = wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev)
    length_px = p.camera_length_mm * 1e3 / microscope.detector.pixel_size_um
    flat = length_px * g / np.sqrt(k**2 - np.sum(g**2, axis=-1, keepdims=True))
    matrix = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    centre = (p.centre_fast_px, p.centre_slow_px) if centre_px is None else centre_px
    return np.asarray(flat @ matrix.T + np.asarray(centre, dtype=np.float64))


def g_from_pixels(*, pixels: ArrayLike, microscope: Microscope, centre_px: ArrayLike | None = None) -> Floats:
    """Inverse of :func:`pixels_from_g`: lateral components (..., 2) in Å⁻¹."""
    p = microscope.projection
    k = wavenumber_per_angstrom(energy_kev=microscope.beam.energy_kev)
    length_px = p.camera_length_mm * 1e3 / microscope.detector.pixel_size_um
    matrix = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    centre = (p.centre_fast_px, p.centre_slow_px) if centre_px is None else centre_px
    flat = (np.asarray(pixels, dtype=np.float64) - np.asarray(centre)) @ np.linalg.inv(matrix).T / length_px
    return np.asarray(k * flat / np.sqrt(1.0 + np.sum(flat**2, axis=-1, keepdims=True)))


def on_ewald_sphere(*, g_xy: ArrayLike, energy_kev: float) -> Floats:
    """Laboratory g (..., 3) of a reflection recorded at ``g_xy`` with the beam along z: g_z = √(k² − g_xy²) − k ≤ 0."""
    g = np.asarray(g_xy, dtype=np.float64)
    k = wavenumber_per_angstrom(energy_kev=energy_kev)
    gz = np.sqrt(k**2 - np.sum(g**2, axis=-1, keepdims=True)) - k
    return np.concatenate([g, gz], axis=-1)
