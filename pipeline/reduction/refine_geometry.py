"""Least squares on spots: lattice, tilt-axis azimuth, ellipse, and centre and in-plane turn of each frame.

The camera length is not refined: it cannot be told from the size of the cell. A turn about the tilt axis leaves all
positions alone; that a spot is seen at all says that its node was near the Ewald sphere, so the excitation error is a
third observation of each spot, with the width of the sweep as its uncertainty. Tilts of single frames are left to the
intensities (orientation.py). Parameters of single frames are eliminated from the normal
equations (a Schur complement), so the cost grows linearly with the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.predict import Sweep, excitation
from twin.model.instrument import Microscope
from twin.physics.electrons import wavenumber_per_angstrom
from twin.physics.lattice import rotation_matrix
from twin.physics.projection import distortion_matrix, pixels_from_g

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AXIS_PRIOR_DEG = 1.5
TURN_PRIOR_DEG = 0.3
CENTRE_PRIOR_PX = 0.7  # of one frame against what all frames have in common
ROCKING_PER_ANGSTROM = 0.002  # least width of a rocking curve

_GENERATORS = np.array(
    [[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]],
    dtype=float,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geometry:
    """ub (3, 3); centre_px (frames, 2); turn (frames, 3, 3) per-frame correction: g_lab = turn R(n, α) ub h."""

    ub: Floats
    centre_px: Floats
    turn: Floats
    alpha_deg: Floats
    microscope: Microscope

    @property
    def rotation(self) -> Floats:
        """(frames, 3, 3) with the stage angle and the correction."""
        p = self.microscope.projection
        return np.asarray(self.turn @ tilt_rotations(tilt_axis_deg=p.tilt_axis_deg, alpha_deg=self.alpha_deg))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometryFit:
    """Refined geometry, root mean square residual per coordinate in px, residuals (n, 2), spots used (n,)."""

    geometry: Geometry
    rms_px: float
    residual_px: Floats
    used: NDArray[np.bool_]


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


def predicted_px(*, geometry: Geometry, hkl: Ints, frame: Ints) -> tuple[Floats, Floats]:
    """Positions (n, 2) in px and g in the laboratory (n, 3)."""
    g = np.einsum("nij,nj->ni", geometry.rotation[frame], hkl @ geometry.ub.T)
    return pixels_from_g(g_xy=g[:, :2], microscope=geometry.microscope, centre_px=geometry.centre_px[frame]), g


def _jacobians(*, geometry: Geometry, hkl: Ints, frame: Ints, freedom: Floats) -> tuple[Floats, Floats]:
    """Derivatives of position and excitation error: global (n, 3, 3 + m + 3), frame (n, 3, 3: centre, turn)."""
    p = geometry.microscope.projection
    k = wavenumber_per_angstrom(energy_kev=geometry.microscope.beam.energy_kev)
    rotation = geometry.rotation
    tilt = tilt_rotations(tilt_axis_deg=p.tilt_axis_deg, alpha_deg=geometry.alpha_deg)
    g0 = hkl @ geometry.ub.T
    g = np.einsum("nij,nj->ni", rotation[frame], g0)
    flat2 = k**2 - np.sum(g[:, :2] ** 2, axis=1)
    length = p.camera_length_mm * 1e3 / geometry.microscope.detector.pixel_size_um
    ellipse = distortion_matrix(ellipse_percent=p.ellipse_percent, ellipse_azimuth_deg=p.ellipse_azimuth_deg)
    outer = np.eye(2) + g[:, :2, None] * g[:, None, :2] / flat2[:, None, None]
    dp = (length / np.sqrt(flat2))[:, None, None] * (ellipse @ outer)
    inverse = np.linalg.inv(geometry.ub)
    strains = 0.5 * inverse.T @ freedom @ inverse
    moves = np.einsum("kij,nj->nki", np.concatenate([_GENERATORS, strains]), g0)
    moved = np.einsum("nij,nkj->nki", rotation[frame], moves)
    z = _GENERATORS[2]
    d_axis = geometry.turn @ (z @ tilt - tilt @ z)
    axis = np.einsum("nij,nj->ni", d_axis[frame], g0)[:, None]
    lab = np.concatenate([moved, axis], axis=1)
    first = np.einsum("nij,nkj->nik", dp, lab[:, :, :2])
    undistorted = length * g[:, :2] / np.sqrt(flat2)[:, None]
    stretch = np.stack([undistorted * [1, -1], undistorted[:, ::-1]], axis=2)
    positions = np.concatenate([first, stretch], axis=2)
    towards = -(lab[:, :, 2] + np.einsum("nkj,nj->nk", lab, g) / k)  # change of the excitation error
    towards[:, 3 : 3 + len(strains)] = 0.0  # least squares on s would shrink the lattice: s is spread over the sweep
    common = np.concatenate([positions, np.pad(towards, ((0, 0), (0, 2)))[:, None]], axis=1)
    spin = np.einsum("nij,nj->ni", dp, np.stack([-g[:, 1], g[:, 0]], axis=1))
    single = np.zeros((len(g), 3, 3))
    single[:, 0, 0] = single[:, 1, 1] = 1.0
    single[:, :2, 2] = spin
    return common, single


def _solve(
    common: Floats,
    single: Floats,
    residual: Floats,
    weight: Floats,
    frame: Ints,
    frames: int,
    prior: Floats,
    pull: Floats,
    frame_pull: Floats,
) -> tuple[Floats, Floats]:
    """Normal equations with the frames eliminated; prior: 1/σ² of the global parameters, pull: their present offset.

    weight, residual: (n, 3); frame_pull: (frames, 3) present offsets of centre and in-plane turn.
    """
    jw = common * weight[:, :, None]
    n_global = common.shape[2]
    a = np.einsum("nic,nid->cd", jw, common, optimize=True) + np.diag(prior)
    b = np.einsum("nic,ni->c", jw, residual, optimize=True) - prior * pull
    c = np.zeros((frames, 3, n_global))
    d = np.zeros((frames, 3, 3))
    e = np.zeros((frames, 3))
    sw = single * weight[:, :, None]
    np.add.at(c, frame, np.einsum("nis,nic->nsc", sw, common, optimize=True))
    np.add.at(d, frame, np.einsum("nis,nit->nst", sw, single, optimize=True))
    np.add.at(e, frame, np.einsum("nis,ni->ns", sw, residual, optimize=True))
    own = np.array([CENTRE_PRIOR_PX, CENTRE_PRIOR_PX, float(np.radians(TURN_PRIOR_DEG))]) ** -2
    d += np.diag(own)
    e -= own * frame_pull
    inverse = np.linalg.inv(d)
    reduced = a - np.einsum("fsc,fst,ftd->cd", c, inverse, c, optimize=True)
    right = b - np.einsum("fsc,fst,ft->c", c, inverse, e, optimize=True)
    x = np.linalg.solve(reduced + 1e-10 * np.trace(reduced) * np.eye(n_global) / n_global, right)
    return x, np.einsum("fst,ft->fs", inverse, e - np.einsum("fsc,c->fs", c, x))


def _ellipse_vector(microscope: Microscope) -> Floats:
    p = microscope.projection
    angle = 2 * np.radians(p.ellipse_azimuth_deg)
    return np.asarray(0.01 * p.ellipse_percent * np.array([np.cos(angle), np.sin(angle)]))


def _about_beam(angles: Floats) -> Floats:
    """Rotations about z by ``angles`` in radians; (n, 3, 3)."""
    out = np.zeros((len(angles), 3, 3))
    out[:, 0, 0] = out[:, 1, 1] = np.cos(angles)
    out[:, 1, 0] = np.sin(angles)
    out[:, 0, 1] = -out[:, 1, 0]
    out[:, 2, 2] = 1.0
    return out


def _stepped(geometry: Geometry, x: Floats, per_frame: Floats, strains: Floats, rotations: Ints | None) -> Geometry:
    change = np.eye(3) + np.tensordot(x[3 : 3 + len(strains)], strains, axes=1)
    angle = float(np.linalg.norm(x[:3]))
    spin = rotation_matrix(axis=x[:3], angle_deg=float(np.degrees(angle))) if angle > 0 else np.eye(3)
    e = _ellipse_vector(geometry.microscope) + x[-2:]
    p = geometry.microscope.projection
    projection = replace(
        p,
        tilt_axis_deg=p.tilt_axis_deg + float(np.degrees(x[-3])),
        ellipse_percent=100 * float(np.hypot(*e)),
        ellipse_azimuth_deg=float(np.degrees(np.arctan2(e[1], e[0])) / 2) % 180.0,
    )
    turn = _about_beam(per_frame[:, 2]) @ geometry.turn
    common = float(np.mean(np.arctan2(turn[:, 1, 0] - turn[:, 0, 1], turn[:, 0, 0] + turn[:, 1, 1])))
    shared = _about_beam(np.array([common]))[0]  # a turn of all frames about the beam is an error of the azimuth
    projection = replace(projection, tilt_axis_deg=projection.tilt_axis_deg + float(np.degrees(common)))
    ub = constrain_metric(ub=shared @ spin @ change @ geometry.ub, rotations=rotations)
    return replace(
        geometry,
        ub=ub,
        turn=turn @ shared.T,
        centre_px=geometry.centre_px + per_frame[:, :2],
        microscope=replace(geometry.microscope, projection=projection),
    )


def _off_sphere(g: Floats, sweep: Sweep | None, tilt_axis_deg: float) -> tuple[Floats, Floats]:
    """Excitation errors (n,) at mid-exposure and their weights: 0 beyond 3.5 times their robust spread."""
    if sweep is None:
        return np.zeros(len(g)), np.zeros(len(g))
    s, half = excitation(g_lab=g, sweep=replace(sweep, tilt_axis_deg=tilt_axis_deg))
    unit = np.sqrt(half**2 / 3.0 + ROCKING_PER_ANGSTROM**2)
    scatter = max(float(np.median(np.abs(s) / unit)) / 0.6745, 1.0)
    return s, np.where(np.abs(s) < 3.5 * scatter * unit, 1.0 / (scatter * unit) ** 2, 0.0)


def _frame_offsets(now: Geometry, start: Geometry) -> Floats:
    """Centre (px) and in-plane turn (radians) of each frame away from the start, less what all have in common."""
    moved = now.centre_px - start.centre_px
    spin = np.arctan2(now.turn[:, 1, 0] - now.turn[:, 0, 1], now.turn[:, 0, 0] + now.turn[:, 1, 1])
    offsets = np.column_stack([moved, spin])
    return np.asarray(offsets - np.median(offsets, axis=0))


def refine_geometry(
    *,
    geometry: Geometry,
    hkl: Ints,
    frame: Ints,
    observed_px: Floats,
    sigma_px: Floats,
    rotations: Ints | None = None,
    ellipse_prior: float = 0.01,
    cycles: int = 6,
    free_axis: bool = True,
    sweep: Sweep | None = None,
) -> GeometryFit:
    """Gauss–Newton with outlier rejection. ``rotations``: operations (h' = h R) that the metric must obey, None
    for none. ``sweep``: of the exposures; without it the excitation errors are not used."""
    now = replace(geometry, ub=constrain_metric(ub=geometry.ub, rotations=rotations))
    freedom = metric_freedom(rotations)
    frames = len(geometry.alpha_deg)
    used = np.ones(len(hkl), dtype=bool)
    residual = np.zeros((len(hkl), 2))
    for cycle in range(cycles + 1):
        predicted, g = predicted_px(geometry=now, hkl=hkl, frame=frame)
        residual = observed_px - predicted
        distance = np.hypot(residual[:, 0], residual[:, 1]) / sigma_px
        scatter = max(float(np.median(distance)) / 1.18, 1e-6)  # residual in units of what the centroids promise
        limit = 3.5 * scatter
        used = distance < limit
        if cycle == cycles:
            break
        common, single = _jacobians(geometry=now, hkl=hkl[used], frame=frame[used], freedom=freedom)
        prior = np.zeros(common.shape[2])
        prior[-2:] = 1.0 / ellipse_prior**2
        prior[-3] = 1.0 / np.radians(AXIS_PRIOR_DEG) ** 2 if free_axis else 1e12
        pull = np.zeros_like(prior)
        axis_moved = now.microscope.projection.tilt_axis_deg - geometry.microscope.projection.tilt_axis_deg
        pull[-3] = np.radians((axis_moved + 180.0) % 360.0 - 180.0)
        pull[-2:] = _ellipse_vector(now.microscope)
        on_px = 1.0 / (max(scatter, 1.0) * sigma_px[used]) ** 2
        off, on_sphere = _off_sphere(g[used], sweep, now.microscope.projection.tilt_axis_deg)
        x, per_frame = _solve(
            common,
            single,
            np.column_stack([residual[used], -off]),
            np.column_stack([on_px, on_px, on_sphere]),
            frame[used],
            frames,
            prior,
            pull,
            _frame_offsets(now, geometry),
        )
        inverse = np.linalg.inv(now.ub)
        strains = 0.5 * inverse.T @ freedom @ inverse
        now = _stepped(now, x, per_frame, strains, rotations)
    rms = float(np.sqrt(np.mean(residual[used] ** 2))) if np.any(used) else float("nan")
    return GeometryFit(geometry=now, rms_px=rms, residual_px=residual, used=used)
