"""How well a measured series tells the shape of its cell: refined again with parts of the rotation left out.

Standard deviations of a least squares count spots as independent; those of neighbouring frames share what no model
knows. So the series is cut into wedges, each is left out in turn (delete-a-group jackknife: variance (m − 1)/m times
the sum of the squared deviations from the mean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.geometry import Geometry, ellipse_vector, with_plain_optics
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.refine_geometry import GeometryFit, refine_geometry
from pipeline.reduction.series import sweep_of
from pipeline.types import Peaks
from twin.model.dataset import Dataset
from twin.physics.lattice import cell_from_reciprocal_matrix
from twin.physics.symmetry import point_rotations

Floats = NDArray[np.float64]

WEDGES = 8
NO_OPTICS = 1e-5  # prior of the ellipse under which refine_geometry has neither ellipse nor harmonics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """a/b, c/b, α, β, γ (5,) with standard deviations, ellipse in percent (2,) as (cos, sin) of twice its azimuth with
    its own, and the residual in px."""

    values: Floats
    sd: Floats
    ellipse_percent: Floats
    ellipse_sd_percent: Floats
    rms_px: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lattice:
    """Indexed spots of a series: hkl (n, 3), good (n,), the geometry that was found and the symmetry of its lattice."""

    dataset: Dataset
    peaks: Peaks
    hkl: NDArray[np.int64]
    good: NDArray[np.bool_]
    geometry: Geometry
    hall: str


def refit(lattice: Lattice, *, use: NDArray[np.bool_], optics: bool, fixed_shape: bool = False) -> GeometryFit:
    """The fit of the positions again, of the spots ``use`` (n,), with or without distortions of the optics."""
    start, peaks = with_plain_optics(lattice.geometry), lattice.peaks
    return refine_geometry(
        geometry=start,
        hkl=lattice.hkl[use],
        frame=peaks.frame[use],
        observed_px=np.stack([peaks.fast_px, peaks.slow_px], axis=1)[use],
        sigma_px=spot_sigma_px(peaks)[use],
        rotations=point_rotations(lattice.hall, friedel=True),
        ellipse_prior=0.01 if optics else NO_OPTICS,
        sweep=sweep_of(lattice.dataset, start.microscope.projection.tilt_axis_deg),
        fixed_shape=fixed_shape,
    )


def _numbers(fit: GeometryFit, transform: Floats) -> Floats:
    cell = cell_from_reciprocal_matrix(fit.geometry.ub @ transform).parameters
    ratios = (cell[0] / cell[1], cell[2] / cell[1])
    return np.array([*ratios, *cell[3:], *100.0 * ellipse_vector(fit.geometry.microscope)])


def shape_of_cell(lattice: Lattice, *, transform: Floats, optics: bool) -> Shape:
    """``transform`` (3, 3): the cell that is meant is that of ub · transform."""
    block = lattice.peaks.frame * WEDGES // len(lattice.dataset.counts)
    whole = refit(lattice, use=lattice.good, optics=optics)
    left_out = [refit(lattice, use=lattice.good & (block != b), optics=optics) for b in range(WEDGES)]
    value, parts = _numbers(whole, transform), np.array([_numbers(fit, transform) for fit in left_out])
    sd = np.sqrt((WEDGES - 1) / WEDGES * np.sum((parts - parts.mean(axis=0)) ** 2, axis=0))
    return Shape(values=value[:5], sd=sd[:5], ellipse_percent=value[5:], ellipse_sd_percent=sd[5:], rms_px=whole.rms_px)


def with_known_shape(lattice: Lattice, wanted: Floats) -> GeometryFit:
    """The fit with the shape of the cell of ``wanted`` (3, 3), a reciprocal basis in the setting of the lattice."""
    ub = lattice.geometry.ub
    u, _, vt = np.linalg.svd(ub @ np.linalg.inv(wanted))
    scale = float(np.cbrt(np.linalg.det(ub) / np.linalg.det(wanted)))
    known = replace(lattice, geometry=replace(lattice.geometry, ub=scale * (u @ vt) @ wanted))
    return refit(known, use=lattice.good, optics=True, fixed_shape=True)
