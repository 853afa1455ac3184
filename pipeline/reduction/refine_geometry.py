"""Least squares on spots: lattice, tilt-axis azimuth, distortions, and centre and in-plane turn of each frame.

The camera length is not refined: it cannot be told from the size of the cell. A turn about the tilt axis leaves all
positions alone; that a spot is seen at all says that its node was near the Ewald sphere, so the excitation error is a
third observation of each spot, with the width of the sweep as its uncertainty. Tilts of single frames are left to the
intensities (bundle.py). How far frames stray is estimated from two halves of the spots (looseness.py), so that frames
follow the goniometer where it runs smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.distortion import TERMS
from pipeline.reduction.geometry import (
    Geometry,
    constrain_metric,
    ellipse_vector,
    metric_freedom,
    predicted_px,
    scale_alone,
    stepped,
)
from pipeline.reduction.looseness import Looseness, estimated_looseness, frame_prior
from pipeline.reduction.normal import Normal, normal_equations, solve
from pipeline.reduction.position_rows import OWN, excitation_rows, position_rows
from pipeline.reduction.predict import Sweep, excitation

__all__ = ["Geometry", "GeometryFit", "Positions", "constrain_metric", "metric_freedom", "predicted_px"]
__all__ += ["refine_geometry"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AXIS_PRIOR_DEG = 1.5
HARMONICS_PRIOR = 0.02
ROCKING_PER_ANGSTROM = 0.002  # least width of a rocking curve
SPOTS_FOR_HARMONICS = 400
RAYLEIGH_MEDIAN = 1.17741  # of the length of a vector whose two components have the standard deviation 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Positions:
    """Indexed spots: hkl (n, 3), frame (n,), observed_px (n, 2), sigma_px (n,) of one coordinate."""

    hkl: Ints
    frame: Ints
    observed_px: Floats
    sigma_px: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeometryFit:
    """Refined geometry, root mean square residual per coordinate in px, residuals (n, 2), spots used (n,), and how far
    frames stray."""

    geometry: Geometry
    rms_px: float
    residual_px: Floats
    used: Bools
    looseness: Looseness


def honest_sigma(residual: Floats, sigma_px: Floats, *, freedom: float) -> Floats:
    """√(σ² + floor²) with the floor that makes the median residual of the strongest tenth right, all times the factor
    that then makes that of all spots right (n,).

    ``freedom``: parameters in the fit. What is common to all spots shows in the strongest; a floor that were added for
    the sake of the weak ones would throw away what the strong ones know. When σ is too large it shrinks first.
    """
    inflate = np.sqrt(2.0 * len(residual) / max(2.0 * len(residual) - freedom, 0.2 * len(residual)))
    distance = inflate * np.hypot(residual[:, 0], residual[:, 1])
    sigma = sigma_px * float(np.clip(np.median(distance / sigma_px) / RAYLEIGH_MEDIAN, 0.2, 1.0))
    strongest = np.argsort(sigma_px, kind="stable")[: max(len(sigma_px) // 10, min(30, len(sigma_px)))]
    sigma = np.hypot(sigma, _floor(distance[strongest], sigma[strongest]))
    return np.asarray(sigma * max(float(np.median(distance / sigma)) / RAYLEIGH_MEDIAN, 1.0))


def _floor(distance: Floats, sigma: Floats) -> float:
    """What must be added to σ in quadrature for the median distance to be as it should be, or 0."""
    low, high = 0.0, float(np.median(distance))
    if float(np.median(distance / sigma)) <= RAYLEIGH_MEDIAN:
        return 0.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        above = float(np.median(distance / np.hypot(sigma, middle))) > RAYLEIGH_MEDIAN
        low, high = (middle, high) if above else (low, middle)
    return 0.5 * (low + high)


def position_equations(
    geometry: Geometry, spots: Positions, residual: Floats, weight: Floats, freedom: Floats
) -> Normal:
    """Normal equations of spots; residual (n, 2), weight (n,) 0 for spots left out."""
    use = np.flatnonzero(weight > 0)
    shared, own = position_rows(geometry=geometry, hkl=spots.hkl[use], frame=spots.frame[use], freedom=freedom)
    return normal_equations(
        common=shared.reshape(-1, shared.shape[2]),
        single=own.reshape(-1, OWN),
        residual=residual[use].reshape(-1),
        weight=np.repeat(weight[use], 2),
        frame=np.repeat(spots.frame[use], 2),
        frames=len(geometry.alpha_deg),
    )


def _off_sphere(geometry: Geometry, spots: Positions, g: Floats, used: Bools, sweep: Sweep, freedom: Floats) -> Normal:
    """Normal equations of the excitation errors at mid-exposure; nothing beyond 3.5 times their robust spread."""
    s, half = excitation(g_lab=g, sweep=replace(sweep, tilt_axis_deg=geometry.microscope.projection.tilt_axis_deg))
    unit = np.sqrt(half**2 / 3.0 + ROCKING_PER_ANGSTROM**2)
    scatter = max(float(np.median(np.abs(s[used]) / unit[used])) / 0.6745, 1.0)
    weight = np.where(used & (np.abs(s) < 3.5 * scatter * unit), 1.0 / (scatter * unit) ** 2, 0.0)
    shared, own = excitation_rows(
        geometry=geometry, hkl=spots.hkl, frame=spots.frame, metric_parameters=len(freedom), terms=6
    )
    own[:] = 0.0  # single frames are not tilted by it
    return normal_equations(
        common=shared, single=own, residual=-s, weight=weight, frame=spots.frame, frames=len(geometry.alpha_deg)
    )


def frame_offsets(now: Geometry, centre_px: Floats, log_scale: Floats | None = None) -> Floats:
    """(frames, OWN): centre away from ``centre_px`` less what all frames have in common, turn, log of the scale."""
    moved = now.centre_px - centre_px
    scale = np.zeros(len(moved)) if log_scale is None else log_scale
    return np.column_stack([moved - np.median(moved, axis=0), now.turn_vector, scale])


def shared_prior(
    now: Geometry,
    *,
    axis_moved_deg: float,
    metric_parameters: int,
    ellipse: float,
    axis_deg: float,
    harmonics: Bools,
) -> tuple[Floats, Floats]:
    """1/σ² and present offset of the shared parameters; ``harmonics``: (4,) which of them are free."""
    m = metric_parameters
    weight, offset = np.zeros(10 + m), np.zeros(10 + m)
    weight[3 + m] = np.radians(axis_deg) ** -2
    offset[3 + m] = np.radians((axis_moved_deg + 180.0) % 360.0 - 180.0)
    weight[4 + m : 6 + m] = ellipse**-2
    offset[4 + m : 6 + m] = ellipse_vector(now.microscope)
    weight[6 + m :] = np.where(harmonics, HARMONICS_PRIOR**-2, 1e16)
    offset[6 + m :] = now.distortion.amplitudes
    return weight, offset


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
    free_ellipse: bool = True,
    sweep: Sweep | None = None,
    fixed_shape: bool = False,
) -> GeometryFit:
    """Gauss–Newton with outlier rejection. ``rotations``: operations (h' = h R) that the metric must obey, None
    for none. ``sweep``: of the exposures; without it the excitation errors are not used. ``free_ellipse``: False keeps
    the ellipse as it is: along and across the tilt axis a lattice without constraint cannot be told from it.
    ``fixed_shape``: the cell is known but for its scale."""
    now = replace(geometry, ub=constrain_metric(ub=geometry.ub, rotations=rotations))
    freedom = scale_alone(now.ub) if fixed_shape else metric_freedom(rotations)
    spots = Positions(hkl=hkl, frame=frame, observed_px=observed_px, sigma_px=sigma_px)
    harmonics = len(hkl) >= SPOTS_FOR_HARMONICS and ellipse_prior > 1e-4
    parameters = 3.0 * len(np.unique(frame)) + 6.0
    looseness = Looseness()
    used = np.ones(len(hkl), dtype=bool)
    residual = np.zeros((len(hkl), 2))
    for cycle in range(cycles + 1):
        predicted, g = predicted_px(geometry=now, hkl=hkl, frame=frame)
        residual = observed_px - predicted
        sigma = honest_sigma(residual, sigma_px, freedom=parameters)
        used = np.hypot(residual[:, 0], residual[:, 1]) < 3.5 * sigma
        if cycle == cycles:
            break
        weight = np.where(used, sigma**-2.0, 0.0)
        even = np.arange(len(hkl)) % 2 == 0
        halves = tuple(
            position_equations(now, spots, residual, np.where(half, weight, 0.0), freedom) for half in (even, ~even)
        )
        normal = halves[0].plus(halves[1])
        if sweep is not None:
            normal = normal.plus(_off_sphere(now, spots, g, used, sweep, freedom))
        offset = frame_offsets(now, geometry.centre_px)
        if cycle >= 2:
            looseness = estimated_looseness((halves[0], halves[1]), offset, before=looseness, known="positions")
        moved = now.microscope.projection.tilt_axis_deg - geometry.microscope.projection.tilt_axis_deg
        prior = shared_prior(
            now,
            axis_moved_deg=moved,
            metric_parameters=len(freedom),
            ellipse=ellipse_prior,
            axis_deg=AXIS_PRIOR_DEG if free_axis else 1e-5,
            harmonics=np.full(TERMS, harmonics),
        )
        if not free_ellipse:
            prior[0][4 + len(freedom) : 6 + len(freedom)] = 1e16
            prior[1][4 + len(freedom) : 6 + len(freedom)] = 0.0
        x, own = solve(normal, frame_prior(looseness, offset, *prior))
        own[:, 2:4] = 0.0
        now = stepped(geometry=now, shared=x, centre=own[:, :2], turn=own[:, 2:5], freedom=freedom, rotations=rotations)
    rms = float(np.sqrt(np.mean(residual[used] ** 2))) if np.any(used) else float("nan")
    return GeometryFit(geometry=now, rms_px=rms, residual_px=residual, used=used, looseness=looseness)
