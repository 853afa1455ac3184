"""Azimuth of the tilt axis, from nothing but spots: the right axis makes spots of all frames one lattice.

For each trial azimuth the spots are turned back to tilt 0 and Fourier transformed in three dimensions; a lattice shows
as strong maxima at its direct-space vectors. (PETS2 looks at the contrast of a cylindrical projection instead; the
transform also yields the cell.) The sense of rotation: on a flat Ewald sphere the opposite sense gives the exact mirror
image, so only the curvature tells, see :func:`sense_of_rotation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from twin.physics.lattice import tilt_axis_vector

Floats = NDArray[np.float64]


def tilt_rotations(*, tilt_axis_deg: float, alpha_deg: Floats) -> Floats:
    """R(n, α) of every frame, (frames, 3, 3)."""
    n = tilt_axis_vector(tilt_axis_deg)
    cross = np.array([[0.0, -n[2], n[1]], [n[2], 0.0, -n[0]], [-n[1], n[0], 0.0]])
    alpha = np.radians(alpha_deg)[:, None, None]
    return np.asarray(np.eye(3) + np.sin(alpha) * cross + (1.0 - np.cos(alpha)) * (cross @ cross))


def density_transform(*, points: Floats, weight: Floats, g_limit: float, grid: int) -> Floats:
    """|Σ w exp(2πi g·t)| / Σ w on a grid of direct-space vectors t, spacing 1/(2 g_limit) Å, (grid, grid, grid //
    2 + 1).

    Index n stands for t = n / (2 g_limit), n from −grid/2 (wrapped as the FFT does). points: (n, 3) in Å⁻¹.
    """
    index = np.rint((points + g_limit) / (2 * g_limit) * grid).astype(np.int64)
    inside = np.all((index >= 0) & (index < grid), axis=1)
    flat = np.ravel_multi_index(tuple(index[inside].T), (grid, grid, grid))
    cube = np.bincount(flat, weights=weight[inside], minlength=grid**3).reshape(grid, grid, grid).astype(np.float32)
    return np.asarray(np.abs(fft.rfftn(cube)) / max(float(weight[inside].sum()), 1e-9))


def lattice_contrast(
    *, points: Floats, weight: Floats, g_limit: float, grid: int, shortest_angstrom: float = 2.4
) -> float:
    """Mean square of the 40 strongest values of the transform away from its origin."""
    value = density_transform(points=points, weight=weight, g_limit=g_limit, grid=grid)
    n = np.fft.fftfreq(grid, 1.0 / grid)
    length2 = n[:, None, None] ** 2 + n[None, :, None] ** 2 + np.arange(grid // 2 + 1)[None, None, :] ** 2
    far = value[length2 > (shortest_angstrom * 2 * g_limit) ** 2]
    return float(np.mean(np.partition(far, -40)[-40:] ** 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxisSearch:
    """Azimuth found, the trials (m, 2: azimuth in degrees, contrast), and best contrast over their median."""

    tilt_axis_deg: float
    trials: Floats
    contrast_ratio: float


def find_tilt_axis(
    *,
    g_lab: Floats,
    frame: NDArray[np.int64],
    weight: Floats,
    alpha_deg: Floats,
    start_deg: float,
    reach_deg: float = 26.0,
    g_limit: float = 1.0,
) -> AxisSearch:
    """Search ±``reach_deg`` about the start and its opposite, the whole circle when that shows nothing."""

    def contrast(azimuth: float, grid: int) -> float:
        r = tilt_rotations(tilt_axis_deg=azimuth, alpha_deg=alpha_deg)[frame]
        return lattice_contrast(points=np.einsum("nji,nj->ni", r, g_lab), weight=weight, g_limit=g_limit, grid=grid)

    offsets = np.arange(-reach_deg, reach_deg + 1e-9, 2.0)
    coarse = np.concatenate([start_deg + offsets, start_deg + 180.0 + offsets])
    scores = np.array([contrast(a, 64) for a in coarse])
    if scores.max() < 2.0 * np.median(scores):
        rest = np.concatenate(
            [np.arange(start_deg + reach_deg, start_deg + 180 - reach_deg, 2.0) + s for s in (0, 180)]
        )
        coarse = np.concatenate([coarse, rest])
        scores = np.concatenate([scores, [contrast(a, 64) for a in rest]])
    best = float(coarse[int(np.argmax(scores))])
    trials = [np.stack([coarse, scores], axis=1)]
    for step in (1.0, 0.4):
        near = best + step * np.arange(-2, 3)
        values = np.array([contrast(a, 96) for a in near])
        best = float(near[int(np.argmax(values))])
    return AxisSearch(
        tilt_axis_deg=best % 360.0,
        trials=np.concatenate(trials),
        contrast_ratio=float(scores.max() / np.median(scores)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sense:
    """Evidence for the sense of rotation: misfit with the sense assumed and with the opposite one; their difference in
    units of what it would scatter by if frames spoke for either at random (``sigmas``, positive for the sense assumed);
    spots."""

    keep: bool
    misfit: float
    misfit_opposite: float
    sigmas: float
    spots: int

    def sentence(self) -> str:
        low, high = sorted((self.misfit, self.misfit_opposite))
        far = abs(self.sigmas)
        sure = "clear" if far > 4.0 and high > 1.5 * low else "likely" if far > 2.5 else "not decided by these data"
        return (
            f"sense of rotation: mean square excitation error {low:.2f} with the sense used, {high:.2f} with the "
            f"opposite one, in units of the sweep, {self.spots} spots, {far:.1f} sigma between frames: {sure}"
        )


def sense_of_rotation(
    *,
    g_model: Floats,
    frame: NDArray[np.int64],
    half_sweep: Floats,
    weight: Floats,
    wavenumber: float,
    width: float,
) -> Sense:
    """Which sense puts the spots on the Ewald sphere. ``g_model``: (n, 3) lattice points in the laboratory for the
    sense assumed; the opposite sense has g_z of the other sign. ``half_sweep``: (n,) Å⁻¹ covered by the exposure.

    Spots of one frame share its errors, so a frame is one vote for the confidence.
    """
    curvature = np.sum(g_model**2, axis=1) / (2 * wavenumber)
    unit = half_sweep**2 / 2 + width**2
    here = np.minimum((-g_model[:, 2] - curvature) ** 2 / unit, 9.0)
    mirrored = np.minimum((g_model[:, 2] - curvature) ** 2 / unit, 9.0)
    w = weight * curvature**2
    a, b = float(np.average(here, weights=w)), float(np.average(mirrored, weights=w))
    votes = np.bincount(frame, weights=w * (mirrored - here))
    sigmas = float(votes.sum() / max(float(np.sqrt(np.sum(votes**2))), 1e-30))
    return Sense(keep=a <= b, misfit=a, misfit_opposite=b, sigmas=sigmas, spots=len(g_model))
