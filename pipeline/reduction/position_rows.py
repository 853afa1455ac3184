"""Derivatives of predicted positions and excitation errors by the geometry.

Shared parameters, in this order: turn of the crystal about x, y, z (radians, at tilt 0), changes of the metric (m),
tilt-axis azimuth (radians), ellipse (2, fractions), harmonics of the distortion (4, fractions). Of a frame: centre (2,
px), turn about x, y, z in the laboratory (radians), logarithm of its scale.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.distortion import displacement_terms
from pipeline.reduction.geometry import Geometry, strains, turned
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


@njit(cache=True)
def _moves(g0, frame, rotation, by_azimuth, changes, ellipse, length, k2):  # type: ignore[no-untyped-def]
    """Offset from the direct beam before the ellipse (n, 2), and derivatives of the position by ``changes`` (m, 3, 3)
    of the lattice and by the azimuth (n, 2, m + 1), and by turns of the frame about x, y, z (n, 2, 3)."""
    n, m = g0.shape[0], changes.shape[0]
    offset, shared, turns = np.empty((n, 2)), np.empty((n, 2, m + 1)), np.empty((n, 2, 3))
    for a in range(n):
        r, z = rotation[frame[a]], by_azimuth[frame[a]]
        u, v, w = g0[a, 0], g0[a, 1], g0[a, 2]
        x = r[0, 0] * u + r[0, 1] * v + r[0, 2] * w
        y = r[1, 0] * u + r[1, 1] * v + r[1, 2] * w
        along = r[2, 0] * u + r[2, 1] * v + r[2, 2] * w
        flat2 = k2 - x * x - y * y
        scale = length / np.sqrt(flat2)
        offset[a, 0], offset[a, 1] = scale * x, scale * y
        xx, xy, yy = 1.0 + x * x / flat2, x * y / flat2, 1.0 + y * y / flat2
        for i in range(2):
            p = scale * (ellipse[i, 0] * xx + ellipse[i, 1] * xy)  # derivatives of coordinate i by g_x and g_y
            q = scale * (ellipse[i, 0] * xy + ellipse[i, 1] * yy)
            for b in range(m):
                c = changes[b]
                cu = c[0, 0] * u + c[0, 1] * v + c[0, 2] * w
                cv = c[1, 0] * u + c[1, 1] * v + c[1, 2] * w
                cw = c[2, 0] * u + c[2, 1] * v + c[2, 2] * w
                shared[a, i, b] = p * (r[0, 0] * cu + r[0, 1] * cv + r[0, 2] * cw) + q * (
                    r[1, 0] * cu + r[1, 1] * cv + r[1, 2] * cw
                )
            shared[a, i, m] = p * (z[0, 0] * u + z[0, 1] * v + z[0, 2] * w) + q * (
                z[1, 0] * u + z[1, 1] * v + z[1, 2] * w
            )
            turns[a, i, 0], turns[a, i, 1], turns[a, i, 2] = -q * along, p * along, q * x - p * y
    return offset, shared, turns


def position_rows(*, geometry: Geometry, hkl: Ints, frame: Ints, freedom: Floats) -> tuple[Floats, Floats]:
    """Derivatives of the position in px: shared (n, 2, C), own (n, 2, OWN)."""
    p = geometry.microscope.projection
    k = wavenumber_per_angstrom(energy_kev=geometry.microscope.beam.energy_kev)
    offset, first, turns = _moves(
        hkl @ geometry.ub.T,
        frame,
        geometry.rotation,
        _by_azimuth(geometry),
        np.concatenate([_GENERATORS, strains(geometry.ub, freedom)]),
        distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg),
        p.camera_length_mm * 1e3 / geometry.microscope.detector.pixel_size_um,
        k**2,
    )
    stretch = np.stack([offset * [1, -1], offset[:, ::-1]], axis=2)
    harmonics = displacement_terms(offset, geometry.distortion.radius_px)
    own = np.zeros((len(hkl), 2, OWN))
    own[:, 0, 0] = own[:, 1, 1] = 1.0
    own[:, :, 2:5] = turns
    return np.concatenate([first, stretch, harmonics], axis=2), own


def excitation_rows(
    *, geometry: Geometry, hkl: Ints, frame: Ints, metric_parameters: int, terms: int
) -> tuple[Floats, Floats]:
    """Derivatives of the excitation error in Å⁻¹: shared (n, C), own (n, OWN).

    Turns keep |g|, so only g_z counts. Those by the metric are zero on purpose: s is spread over the sweep, and least
    squares on it would shrink the lattice. ``terms``: shared parameters that come after the azimuth.
    """
    g0 = hkl @ geometry.ub.T
    rotation = geometry.rotation
    g = turned(rotation, frame, g0)
    shared = np.zeros((len(g0), 4 + metric_parameters + terms))
    shared[:, :3] = -np.cross(g0, rotation[frame, 2])
    shared[:, 3 + metric_parameters] = -np.einsum("nj,nj->n", _by_azimuth(geometry)[frame, 2], g0)
    own = np.zeros((len(g0), OWN))
    own[:, 2], own[:, 3] = -g[:, 1], g[:, 0]
    return shared, own


def _by_azimuth(geometry: Geometry) -> Floats:
    """Derivative of each frame's rotation by the azimuth of the tilt axis, (frames, 3, 3)."""
    p = geometry.microscope.projection
    tilt = tilt_rotations(tilt_axis_deg=p.tilt_axis_deg, alpha_deg=geometry.alpha_deg)
    z = _GENERATORS[2]
    return np.asarray(geometry.turn @ (z @ tilt - tilt @ z))
