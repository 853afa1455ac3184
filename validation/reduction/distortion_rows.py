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
from pipeline.reduction.geometry import Geometry, to_pixels, with_plain_optics
from pipeline.reduction.lattice import spot_sigma_px
from pipeline.reduction.reduce import reduce_series
from pipeline.reduction.refine_geometry import GeometryFit, refine_geometry
from pipeline.reduction.series import sweep_of
from validation.lattice_match import LatticeMatch, match_lattice
from validation.reduction.conditions import DISTORTED
from validation.reduction.frames import CRYSTALS, Known, make_known, positions
from validation.rows import Row, at_most

Floats = NDArray[np.float64]

GOALS = (
    ("max_ratio_error_percent", "error of the ratios of the cell", "%", 0.1),
    ("max_angle_error_deg", "error of the angles of the cell", "°", 0.03),
)
FIELD_PER_ANGSTROM = 1.4  # |g| up to which displacements are compared, about where spots end


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
        return [
            _row(key, f"{quantity}, corrected", unit, None, note=str(error), goal=f"<= {limit:g}", met=False)
            for key, quantity, unit, limit in GOALS
        ]
    before, after = (free_fit(known, reduced, corrected=c) for c in (False, True))
    rows = []
    constrained = _match(known, reduced.orientation.ub)
    for (key, quantity, unit, limit), best in zip(GOALS, (constrained, _match(known, after.geometry.ub)), strict=True):
        rough = _match(known, before.geometry.ub)
        values = [None if m is None else float(getattr(m, key)) for m in (rough, best)]
        rows.append(_row(f"{key}-before", f"{quantity}, distortions not corrected", unit, values[0]))
        goal, met = at_most(values[1] if values[1] is not None else float("inf"), limit)
        rows.append(_row(key, f"{quantity}, corrected", unit, values[1], goal=goal, met=met))
    rows.append(_row("rms-before", "residual of positions, not corrected", "px", before.rms_px))
    rows.append(_row("rms", "residual of positions, corrected", "px", after.rms_px))
    return rows + _field_rows(known, reduced.fit.geometry)


def _field_rows(known: Known, geometry: Geometry) -> list[Row]:
    """How far the lens displaces points of the pattern, and how far from there the refined correction leaves them.

    Shift, turn and magnification are taken out of both: the lattice takes them up.
    """
    line = np.linspace(-FIELD_PER_ANGSTROM, FIELD_PER_ANGSTROM, 41)
    g = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    g = g[np.linalg.norm(g, axis=1) < FIELD_PER_ANGSTROM]
    seen = positions(known.scene, 0, np.column_stack([g, np.zeros(len(g))]))
    fields = (("field", "displacement by the lens, rms", with_plain_optics(geometry)),
              ("field-left", "displacement left by the correction, rms", geometry))  # fmt: skip
    n = len(g)
    return [
        _row(key, quantity, "px", float(np.sqrt(np.mean(_but_for_similarity(seen, to_pixels(model, g, 0)) ** 2))), n=n)
        for key, quantity, model in fields
    ]


def _but_for_similarity(seen: Floats, model: Floats) -> Floats:
    """What shift, turn and magnification of ``model`` (n, 2) leave of the difference to ``seen``, by least squares."""
    x, y = (model - model.mean(axis=0)).T
    one, nil = np.ones(len(x)), np.zeros(len(x))
    rows = np.concatenate([np.column_stack([one, nil, x, -y]), np.column_stack([nil, one, y, x])])
    wanted = (seen - model).T.reshape(-1)
    return np.asarray(wanted - rows @ np.linalg.lstsq(rows, wanted, rcond=None)[0])


def _row(key: str, quantity: str, unit: str, value: float | None, **more: object) -> Row:
    return Row(id=f"distorted-{key}", quantity=f"distorted: {quantity}", value=value, unit=unit, **more)  # type: ignore[arg-type]
