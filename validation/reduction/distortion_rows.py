"""Ratios and angles of an orthorhombic cell from frames with distortions of 1 to 2 %.

A stretch along the tilt axis cannot be told from one of a lattice without constraint. So the distortions are those of
the refinement under the constraint of the lattice; the angles are then those of a fit without it, distortions held.

Goals: ratios to 0.1 % and angles to 0.03° after correction, the figures of Brázda et al. (IUCrJ 9 (2022) 735).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.assemble import ReducedSeries
from pipeline.reduction.errors import ReductionError
from pipeline.reduction.geometry import Geometry, with_plain_optics
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.reduce import reduce_series
from pipeline.reduction.refine_geometry import GeometryFit, refine_geometry
from pipeline.reduction.series import sweep_of
from validation.lattice_match import LatticeMatch, match_lattice
from validation.reduction.crystals import CRYSTALS
from validation.reduction.frames import DISTORTED, Known, make_known
from validation.rows import Row, at_most

Floats = NDArray[np.float64]

PARABOLIC_AZIMUTH_DEG = 40.0  # of the injected one


def free_fit(known: Known, reduced: ReducedSeries, *, corrected: bool) -> GeometryFit:
    """The indexed spots refined once more without any constraint on the cell, with or without the distortions."""
    p, found = reduced.peaks, np.any(reduced.peak_hkl != 0, axis=1)
    geometry = reduced.fit.geometry if corrected else with_plain_optics(reduced.fit.geometry)
    return refine_geometry(
        geometry=geometry,
        hkl=reduced.peak_hkl[found],
        frame=p.frame[found],
        observed_px=np.stack([p.fast_px, p.slow_px], axis=1)[found],
        sigma_px=spot_sigma_px(p)[found],
        rotations=None,
        ellipse_prior=0.05 if corrected else 1e-6,
        free_ellipse=False,
        cycles=10,
        sweep=sweep_of(known.dataset, geometry.microscope.projection.tilt_axis_deg),
    )


def _match(known: Known, ub: Floats) -> LatticeMatch | None:
    hall = CRYSTALS[DISTORTED.crystal].hall
    return match_lattice(ub_found=ub, ub_true=known.ub, hall_true=hall)


def distortion_rows() -> list[Row]:
    """Free cell before and after correction, and the distortions found beside those injected."""
    known = make_known(DISTORTED)
    try:
        reduced = reduce_series(dataset=known.dataset)
    except ReductionError as error:
        return [_row("ratio", "ratios of the cell", "%", None, note=str(error), goal="<= 0.1", met=False)]
    before, after = (free_fit(known, reduced, corrected=c) for c in (False, True))
    rows = []
    constrained = _match(known, reduced.orientation.ub)
    for key, quantity, unit, limit, best in (
        ("max_ratio_error_percent", "error of the ratios of the cell", "%", 0.1, constrained),
        ("max_angle_error_deg", "error of the angles of the cell", "°", 0.03, _match(known, after.geometry.ub)),
    ):
        rough = _match(known, before.geometry.ub)
        values = [None if m is None else float(getattr(m, key)) for m in (rough, best)]
        rows.append(_row(f"{key}-before", f"{quantity}, distortions not corrected", unit, values[0]))
        goal, met = at_most(values[1] if values[1] is not None else float("inf"), limit)
        rows.append(_row(key, f"{quantity}, corrected", unit, values[1], goal=goal, met=met))
    rows.append(_row("rms-before", "residual of positions, not corrected", "px", before.rms_px))
    rows.append(_row("rms", "residual of positions, corrected", "px", after.rms_px))
    return rows + _amplitude_rows(reduced.fit.geometry)


def _amplitude_rows(geometry: Geometry) -> list[Row]:
    d, p, c = geometry.distortion, geometry.microscope.projection, DISTORTED
    parabolic = np.array([d.parabolic_fast_percent, d.parabolic_slow_percent])
    azimuth = float(np.degrees(np.arctan2(parabolic[1], parabolic[0])))
    table = (
        ("ellipse", "%", p.ellipse_percent, c.ellipse_percent),
        ("azimuth of the ellipse", "°", p.ellipse_azimuth_deg, 70.0),
        ("parabolic", "%", float(np.hypot(*parabolic)), c.parabolic_percent),
        ("azimuth of the parabolic term", "°", azimuth, PARABOLIC_AZIMUTH_DEG),
        ("barrel", "%", d.barrel_percent, c.barrel_percent),
        ("spiral", "%", d.spiral_percent, c.spiral_percent),
    )
    return [
        Row(
            id=f"distorted-{name.replace(' ', '-')}",
            quantity=f"distorted: {name}",
            value=float(found),
            unit=unit,
            peer="injected",
            peer_value=true,
        )
        for name, unit, found, true in table
    ]


def _row(key: str, quantity: str, unit: str, value: float | None, **more: object) -> Row:
    return Row(id=f"distorted-{key}", quantity=f"distorted: {quantity}", value=value, unit=unit, **more)  # type: ignore[arg-type]
