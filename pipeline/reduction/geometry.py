"""The geometry of a series: lattice, centre and turn of each frame, instrument; where reflections land."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.distortion import Distortion, distorted, undistorted
from twin.model.instrument import Microscope
from twin.physics.projection import g_from_pixels, on_ewald_sphere, pixels_from_g

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True)
def turned(rotation, frame, vectors):  # type: ignore[no-untyped-def]
    """Each of ``vectors`` (n, 3) turned by the rotation (frames, 3, 3) of its frame (n,)."""
    out = np.empty(vectors.shape)
    for n in range(vectors.shape[0]):
        r = rotation[frame[n]]
        x, y, z = vectors[n, 0], vectors[n, 1], vectors[n, 2]
        for i in range(3):
            out[n, i] = r[i, 0] * x + r[i, 1] * y + r[i, 2] * z
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geometry:
    """ub (3, 3); centre_px (frames, 2); turn (frames, 3, 3) per-frame correction: g_lab = turn R(n, α) ub h.

    ``microscope`` holds tilt axis and ellipse, ``distortion`` what lies beyond the ellipse.
    """

    ub: Floats
    centre_px: Floats
    turn: Floats
    alpha_deg: Floats
    microscope: Microscope
    distortion: Distortion = field(default_factory=Distortion)

    @property
    def rotation(self) -> Floats:
        """(frames, 3, 3) with the stage angle and the correction."""
        p = self.microscope.projection
        return np.asarray(self.turn @ tilt_rotations(tilt_axis_deg=p.tilt_axis_deg, alpha_deg=self.alpha_deg))

    @property
    def turn_vector(self) -> Floats:
        """Corrections of the frames as rotation vectors in the laboratory, radians, (frames, 3)."""
        return np.asarray(Rotation.from_matrix(self.turn).as_rotvec())


def to_pixels(geometry: Geometry, g_xy: Floats, frame: Ints | int) -> Floats:
    """Positions (n, 2) in px of lateral components ``g_xy`` (n, 2) on frame(s) ``frame`` ((n,) or one)."""
    offset = pixels_from_g(g_xy=g_xy, microscope=geometry.microscope, centre_px=(0.0, 0.0))
    return np.asarray(distorted(offset, geometry.distortion) + geometry.centre_px[frame])


def from_pixels(geometry: Geometry, pixels: Floats, frame: Ints | int) -> Floats:
    """g in the laboratory (n, 3) of spots at ``pixels`` (n, 2), on the Ewald sphere of the mean beam."""
    offset = undistorted(pixels - geometry.centre_px[frame], geometry.distortion)
    g_xy = g_from_pixels(pixels=offset, microscope=geometry.microscope, centre_px=(0.0, 0.0))
    return on_ewald_sphere(g_xy=g_xy, energy_kev=geometry.microscope.beam.energy_kev)


def with_plain_optics(geometry: Geometry) -> Geometry:
    """Without ellipse and other distortions; the camera length stays."""
    projection = replace(geometry.microscope.projection, ellipse_percent=0.0)
    return replace(geometry, distortion=Distortion(), microscope=replace(geometry.microscope, projection=projection))


def predicted_px(*, geometry: Geometry, hkl: Ints, frame: Ints) -> tuple[Floats, Floats]:
    """Positions (n, 2) in px and g in the laboratory (n, 3)."""
    g: Floats = turned(geometry.rotation, frame, hkl @ geometry.ub.T)
    return to_pixels(geometry, g[:, :2], frame), g


def scale_alone(ub: Floats) -> Floats:
    """(1, 3, 3) the change of the reciprocal metric that keeps the shape of the cell."""
    return np.asarray((ub.T @ ub)[None])


def metric_freedom(rotations: Ints | None) -> Floats:
    """Symmetric (m, 3, 3) changes of the reciprocal metric that the operations (h' = h R) leave alone; 6 without
    any."""
    basis = np.zeros((6, 3, 3))
    for n, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        basis[n, i, j] = basis[n, j, i] = 1.0
    if rotations is None:
        return basis
    r = rotations.astype(float)
    averaged = np.mean(r[None] @ basis[:, None] @ r[None].transpose(0, 1, 3, 2), axis=1)
    _, values, vectors = np.linalg.svd(averaged.reshape(6, 9))
    return np.asarray(vectors[: len(values)][values > 1e-9].reshape(-1, 3, 3))


def constrain_metric(*, ub: Floats, rotations: Ints | None) -> Floats:
    """The nearest ub whose metric obeys the operations: ub = U P (polar), P from the averaged metric."""
    if rotations is None:
        return ub
    metric = ub.T @ ub
    r = rotations.astype(float)
    average = np.mean(r @ metric @ r.transpose(0, 2, 1), axis=0)

    def root(m: Floats) -> Floats:
        values, vectors = np.linalg.eigh(m)
        return np.asarray((vectors * np.sqrt(values)) @ vectors.T)

    return np.asarray(ub @ np.linalg.inv(root(metric)) @ root(average))


def strains(ub: Floats, freedom: Floats) -> Floats:
    """Strains (m, 3, 3) of the reciprocal lattice that the changes of the metric stand for: (1 + ε) ub."""
    inverse = np.linalg.inv(ub)
    return np.asarray(0.5 * inverse.T @ freedom @ inverse)


def ellipse_vector(microscope: Microscope) -> Floats:
    """Ellipse as (e cos 2φ, e sin 2φ), a fraction."""
    p = microscope.projection
    angle = 2 * np.radians(p.ellipse_azimuth_deg)
    return np.asarray(0.01 * p.ellipse_percent * np.array([np.cos(angle), np.sin(angle)]))


def stepped(
    *, geometry: Geometry, shared: Floats, centre: Floats, turn: Floats, freedom: Floats, rotations: Ints | None
) -> Geometry:
    """Geometry after a step of the shared parameters (:data:`position_rows.SHARED` and the metric's) and of each
    frame's centre (frames, 2) in px and turn (frames, 3) in radians."""
    m = len(freedom)
    change = np.eye(3) + np.tensordot(shared[3 : 3 + m], strains(geometry.ub, freedom), axes=1)
    spin = Rotation.from_rotvec(shared[:3]).as_matrix()
    azimuth, ellipse, harmonics = shared[3 + m], shared[4 + m : 6 + m], shared[6 + m :]
    e = ellipse_vector(geometry.microscope) + ellipse
    p = geometry.microscope.projection
    projection = replace(
        p,
        tilt_axis_deg=(p.tilt_axis_deg + float(np.degrees(azimuth))) % 360.0,
        ellipse_percent=100 * float(np.hypot(*e)),
        ellipse_azimuth_deg=float(np.degrees(np.arctan2(e[1], e[0])) / 2) % 180.0,
    )
    return replace(
        geometry,
        ub=constrain_metric(ub=spin @ change @ geometry.ub, rotations=rotations),
        turn=Rotation.from_rotvec(turn).as_matrix() @ geometry.turn,
        centre_px=geometry.centre_px + centre,
        microscope=replace(geometry.microscope, projection=projection),
        distortion=geometry.distortion.stepped(harmonics) if len(harmonics) else geometry.distortion,
    )
