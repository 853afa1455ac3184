"""From a primitive lattice to the conventional one, refined: the part of the orientation that positions decide."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.cell import reduce_basis
from pipeline.reduction.indexing import centring_allows, index_in_space, index_on_frames, points_at_zero_tilt
from pipeline.reduction.lattice_symmetry import LatticeSymmetry, lattice_symmetries
from pipeline.reduction.predict import Sweep
from pipeline.reduction.refine_geometry import Geometry, GeometryFit, refine_geometry
from pipeline.types import Peaks
from twin.physics.symmetry import point_rotations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


ELLIPSE_PRIOR = 0.01
FREE_ELLIPSE_PRIOR = 0.003  # with a free metric: along the tilt axis the two cannot be told apart, and the cell strains


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Indexed:
    """Geometry with indices: hkl (n, 3) and good (n,) of the spots, the fit, the symmetry and a line for each one
    tried; by how many standard deviations the sense of rotation is decided; whether the cell is known but for its
    scale."""

    geometry: Geometry
    hkl: Ints
    good: NDArray[np.bool_]
    rms_px: float
    symmetry: LatticeSymmetry
    tried: tuple[str, ...]
    sense_sigmas: float | None = None
    fixed_shape: bool = False


def spot_sigma_px(peaks: Peaks, floor_px: float = 0.05, spot_px: float = 1.0) -> Floats:
    """Uncertainty of a centroid: spot width over signal-to-noise, with a floor."""
    return np.asarray(np.hypot(floor_px, spot_px * peaks.sigma / np.maximum(peaks.intensity, peaks.sigma)))


def _fit(
    peaks: Peaks, geometry: Geometry, hkl: Ints, good: NDArray[np.bool_], rotations: Ints | None, **more: object
) -> GeometryFit:
    pixels = np.stack([peaks.fast_px, peaks.slow_px], axis=1)
    return refine_geometry(
        geometry=geometry,
        hkl=hkl[good],
        frame=peaks.frame[good],
        observed_px=pixels[good],
        sigma_px=spot_sigma_px(peaks)[good],
        rotations=rotations,
        **more,  # type: ignore[arg-type]
    )


def refine_primitive(
    *,
    peaks: Peaks,
    geometry: Geometry,
    sweep: Sweep,
    px_per_angstrom: float,
    g_max_per_angstrom: float,
    width_per_angstrom: float,
    symmetry: LatticeSymmetry | None = None,
    fixed_shape: bool = False,
) -> tuple[Geometry, Ints, NDArray[np.bool_], GeometryFit]:
    """Index and refine in turn, from the low angles outwards; without ``symmetry`` nothing is asked of the metric,
    with ``fixed_shape`` only the scale of the cell is free."""
    rotations = None if symmetry is None else point_rotations(symmetry.hall, friedel=True)
    centring = "P" if symmetry is None else symmetry.centring
    prior = FREE_ELLIPSE_PRIOR if symmetry is None else ELLIPSE_PRIOR
    now = geometry
    points = points_at_zero_tilt(peaks=peaks, geometry=now)
    length = np.linalg.norm(points, axis=1)
    inner = length < max(0.7, float(np.quantile(length, 0.4)))
    hkl, good = index_in_space(points=points, ub=now.ub)
    good &= inner & centring_allows(hkl, centring)
    more = {"cycles": 4, "sweep": sweep, "fixed_shape": fixed_shape}
    fit = _fit(peaks, now, hkl, good, rotations, ellipse_prior=1e-5, free_axis=False, **more)
    for limit in (1.0, g_max_per_angstrom, g_max_per_angstrom):
        now = fit.geometry
        tolerance = min(max(4.0 * fit.rms_px, 1.5), 0.4 * float(np.linalg.norm(now.ub, axis=0).min()) * px_per_angstrom)
        hkl, good = index_on_frames(
            peaks=peaks,
            geometry=now,
            sweep=sweep,
            centring=centring,
            g_max_per_angstrom=limit,
            width_per_angstrom=width_per_angstrom,
            tolerance_px=tolerance,
        )
        fit = _fit(peaks, now, hkl, good, rotations, ellipse_prior=prior, **more)
    return fit.geometry, hkl, good, fit


def choose_symmetry(
    *,
    peaks: Peaks,
    geometry: Geometry,
    sweep: Sweep,
    hkl: Ints,
    good: NDArray[np.bool_],
    tolerance: float = 0.03,
    worse: float = 1.06,
    unexplained_px: float = 0.11,
    largest_strain: float = 0.01,
) -> Indexed:
    """Highest lattice symmetry whose constrained fit is not significantly worse than the free one.

    Of a small strain (``largest_strain``) the residual may also rise by ``unexplained_px`` in quadrature: the free fit
    swallows distortions that are not modelled, and with few spots a frame it swallows noise.

    A distorted pattern breaks the metric before the ellipse is refined, so the metric alone cannot decide; with the
    constraint the ellipse is well determined, and the residual says whether it explains the spots.
    """
    direct: Floats = np.asarray(np.linalg.inv(geometry.ub), dtype=np.float64)
    basis = reduce_basis(direct)
    to_reduced = np.rint(basis @ geometry.ub).astype(np.int64)
    hkl = hkl @ to_reduced.T
    geometry = replace(geometry, ub=np.asarray(np.linalg.inv(basis), dtype=np.float64))
    free = _fit(peaks, geometry, hkl, good, None, sweep=sweep)
    lines: list[str] = []
    for symmetry in lattice_symmetries(direct=basis, tolerance=tolerance):
        t = symmetry.transform
        changed = hkl @ t.T
        start = replace(geometry, ub=np.asarray(np.linalg.inv(t @ basis), dtype=np.float64))
        rotations = point_rotations(symmetry.hall, friedel=True)
        fit = _fit(peaks, start, changed, good, rotations, sweep=sweep)
        lines.append(
            f"{symmetry.system} {symmetry.centring}: strain {100 * symmetry.strain:.2f} %, residual "
            f"{fit.rms_px:.3f} px "
            f"against {free.rms_px:.3f} px without constraint"
        )
        allowed = worse * free.rms_px + 0.005
        if symmetry.strain < largest_strain:
            allowed = max(allowed, float(np.hypot(free.rms_px, unexplained_px)))
        if fit.rms_px < allowed or symmetry.order == 1:
            return Indexed(
                geometry=fit.geometry, hkl=changed, good=good, rms_px=fit.rms_px, symmetry=symmetry, tried=tuple(lines)
            )
    raise AssertionError("the triclinic lattice is always among the candidates")


def refine_indexed(
    *,
    peaks: Peaks,
    found: Indexed,
    sweep: Sweep,
    px_per_angstrom: float,
    g_max_per_angstrom: float,
    width_per_angstrom: float,
    rounds: int = 2,
) -> Indexed:
    """Index again with the conventional lattice and refine under its constraint."""
    now = found
    rotations = point_rotations(found.symmetry.hall, friedel=True)
    for _ in range(rounds):
        spacing = float(np.linalg.norm(now.geometry.ub, axis=0).min()) * px_per_angstrom
        hkl, good = index_on_frames(
            peaks=peaks,
            geometry=now.geometry,
            sweep=sweep,
            centring=now.symmetry.centring,
            g_max_per_angstrom=g_max_per_angstrom,
            width_per_angstrom=width_per_angstrom,
            tolerance_px=min(max(5.0 * now.rms_px, 1.0), 0.4 * spacing),
        )
        fit = _fit(peaks, now.geometry, hkl, good, rotations, sweep=sweep, fixed_shape=found.fixed_shape)
        now = replace(now, geometry=fit.geometry, hkl=hkl, good=good, rms_px=fit.rms_px)
    return now
