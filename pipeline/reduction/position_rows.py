"""Derivatives of predicted positions and excitation errors by the geometry.

Shared parameters, in this order: turn of the crystal about x, y, z (radians, at tilt 0), changes of the metric (m),
tilt-axis azimuth (radians), ellipse (2, fractions), harmonics of the distortion (4, fractions). Of a frame: centre (2,
px), turn about x, y, z in the laboratory (radians), logarithm of its scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.distortion import displacement_terms
from pipeline.reduction.geometry import Geometry, strains
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.projection import distortion_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OWN = 6  # parameters of a frame: centre fast, centre slow, turn x, turn y, turn z, log scale
CENTRE, TILT, SPIN, SCALE = (0, 1), (2, 3), (4,), (5,)

_GENERATORS = np.array(
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]],
    dtype=float,
)


def position_rows(*, geometry: Geometry, hkl: Ints, frame: Ints, freedom: Floats) -> tuple[Floats, Floats]:
    """Derivatives of the position in px: shared (n, 2, C), own (n, 2, OWN)."""
    p = geometry.microscope.projection
    k = wavenumber_per_angstrom(energy_kev=geometry.microscope.beam.energy_kev)
    g0 = hkl @ geometry.ub.T
    rotation = geometry.rotation[frame]
    g = np.einsum("nij,nj->ni", rotation, g0)
    flat2 = k**2 - np.sum(g[:, :2] ** 2, axis=1)
    length = p.camera_length_mm * 1e3 / geometry.microscope.detector.pixel_size_um
    ellipse = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    outer = np.eye(2) + g[:, :2, None] * g[:, None, :2] / flat2[:, None, None]
    dp = (length / np.sqrt(flat2))[:, None, None] * (ellipse @ outer)
    changes = np.concatenate([_GENERATORS, strains(geometry.ub, freedom)])
    moved = np.einsum("nij,kjl,nl->nki", rotation[:, :2], changes, g0, optimize=True)
    axis = np.einsum("nij,nj->ni", _by_azimuth(geometry)[frame, :2], g0)[:, None]
    first = np.einsum("nij,nkj->nik", dp, np.concatenate([moved, axis], axis=1))
    offset = length * g[:, :2] / np.sqrt(flat2)[:, None]
    stretch = np.stack([offset * [1, -1], offset[:, ::-1]], axis=2)
    harmonics = displacement_terms(offset, geometry.distortion.radius_px)
    own = np.zeros((len(g), 2, OWN))
    own[:, 0, 0] = own[:, 1, 1] = 1.0
    about = np.zeros((len(g), 2, 3))  # changes of (g_x, g_y) by turns about x, y, z
    about[:, 1, 0], about[:, 0, 1] = -g[:, 2], g[:, 2]
    about[:, 0, 2], about[:, 1, 2] = -g[:, 1], g[:, 0]
    own[:, :, 2:5] = dp @ about
    return np.concatenate([first, stretch, harmonics], axis=2), own


def excitation_rows(
    *, geometry: Geometry, hkl: Ints, frame: Ints, metric_parameters: int, terms: int
) -> tuple[Floats, Floats]:
    """Derivatives of the excitation error in Å⁻¹: shared (n, C), own (n, OWN).

    Turns keep |g|, so only g_z counts. Those by the metric are zero on purpose: s is spread over the sweep, and least
    squares on it would shrink the lattice. ``terms``: shared parameters that come after the azimuth.
    """
    g0 = hkl @ geometry.ub.T
    rotation = geometry.rotation[frame]
    g = np.einsum("nij,nj->ni", rotation, g0)
    axis = np.einsum("nj,nj->n", _by_azimuth(geometry)[frame, 2], g0)
    zero = np.zeros((len(g), metric_parameters))
    shared = np.column_stack([-np.cross(g0, rotation[:, 2]), zero, -axis, np.zeros((len(g), terms))])
    own = np.zeros((len(g), OWN))
    own[:, 2], own[:, 3] = -g[:, 1], g[:, 0]
    return shared, own


def _by_azimuth(geometry: Geometry) -> Floats:
    """Derivative of each frame's rotation by the azimuth of the tilt axis, (frames, 3, 3)."""
    p = geometry.microscope.projection
    tilt = tilt_rotations(tilt_axis_deg=p.tilt_axis_deg, alpha_deg=geometry.alpha_deg)
    z = _GENERATORS[2]
    return np.asarray(geometry.turn @ (z @ tilt - tilt @ z))
