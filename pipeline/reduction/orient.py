"""Tilts of the frames and the Laue class, each with the other's help, and the tilts put into the geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.axis import tilt_rotations
from pipeline.reduction.frame_average import FrameMerged, merge_frames
from pipeline.reduction.gauge import common_gauge
from pipeline.reduction.laue import LaueEvidence, laue_evidence
from pipeline.reduction.observations import Observations, partialities
from pipeline.reduction.orientation import TiltFit, refine_tilts
from pipeline.reduction.predict import Sweep, swept_fraction
from pipeline.reduction.refine_geometry import Geometry

Floats = NDArray[np.float64]


def _frames_merged(o: Observations, fit: TiltFit, ub: Floats, sweep: Sweep) -> FrameMerged:
    p, s, half, _ = partialities(
        observations=o, rotation=fit.rotation, ub=ub, sweep=sweep, diameter_angstrom=fit.diameter_angstrom
    )
    swept = swept_fraction(s=s, half_sweep=half, diameter_angstrom=fit.diameter_angstrom)
    return merge_frames(observations=o, share=p * fit.scale[o.frame], swept=swept, additive=sweep.mode == "continuous")


def orient(
    o: Observations, geometry: Geometry, sweep: Sweep, system: str, diameter: float, hall: str | None
) -> tuple[TiltFit, LaueEvidence]:
    """Tilts of the frames and the Laue class, each with the other's help."""
    fit: TiltFit | None = None
    current = hall or "-P 1"
    evidence: LaueEvidence | None = None
    for _ in range(3):
        fit = refine_tilts(
            observations=o,
            rotation=geometry.rotation,
            ub=geometry.ub,
            sweep=sweep,
            hall=current,
            diameter_angstrom=diameter if fit is None else fit.diameter_angstrom,
        )
        merged = _frames_merged(o, fit, geometry.ub, sweep)
        evidence = laue_evidence(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma, system=system)
        if evidence.hall == current:
            break
        current = evidence.hall
    if fit is None or evidence is None:
        raise AssertionError("at least one round is made")
    return fit, evidence


def with_tilts(geometry: Geometry, fit: TiltFit) -> Geometry:
    """Tilts into the geometry, with azimuth and crystal turn such that the corrections are smallest."""
    p = geometry.microscope.projection
    azimuth, q = common_gauge(rotation=fit.rotation, alpha_deg=geometry.alpha_deg, tilt_axis_deg=p.tilt_axis_deg)
    stage = tilt_rotations(tilt_axis_deg=azimuth, alpha_deg=geometry.alpha_deg)
    turn = fit.rotation @ q.T @ stage.transpose(0, 2, 1)
    microscope = replace(geometry.microscope, projection=replace(p, tilt_axis_deg=azimuth % 360.0))
    return replace(geometry, ub=q @ geometry.ub, turn=turn, microscope=microscope)
