"""Orientations of the frames and the Laue class, each with the other's help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.bundle import BundleFit, refine_bundle
from pipeline.reduction.frame_average import FrameMerged, merge_frames
from pipeline.reduction.geometry import Geometry
from pipeline.reduction.lattice_symmetry import LatticeSymmetry
from pipeline.reduction.laue import LaueEvidence, laue_evidence
from pipeline.reduction.observations import Observations
from pipeline.reduction.predict import Sweep
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.shares import passage
from twin.physics.symmetry import point_rotations

Floats = NDArray[np.float64]


def with_expected_sigma(o: Observations, fit: BundleFit) -> Observations:
    """Sigmas from the counts that the fit expects, not from those that happened to come."""
    return replace(o, sigma=np.sqrt(o.variance(fit.expected)))


def frames_merged(o: Observations, fit: BundleFit, sweep: Sweep) -> FrameMerged:
    """One intensity for each index, averaged over the frames."""
    where = passage(o, fit.geometry, sweep)
    share = where.share(fit.rocking)[0] * fit.scale[o.frame]
    swept = where.swept(fit.rocking)
    return merge_frames(
        observations=o,
        share=share,
        swept=swept,
        relative_error=fit.error,
        additive=sweep.mode == "continuous",
    )


def orient(
    o: Observations,
    geometry: Geometry,
    *,
    centre_px: Floats,
    sweep: Sweep,
    symmetry: LatticeSymmetry,
    rocking: Rocking,
    hall: str | None,
    rounds: int = 3,
    cycles: int = 14,
    fixed_shape: bool = False,
) -> tuple[BundleFit, LaueEvidence]:
    """Geometry, scales and rocking curve, and the Laue class. ``centre_px``: as the direct beam shows them.

    The metric obeys the lattice's symmetry until the intensities say the Laue class, then that of its system: axes that
    are equal within an ellipse of the optics, with intensities that are not, are not equal.
    ``fixed_shape``: the cell is known but for its scale.
    """
    current = hall or "-P 1"
    rotations = point_rotations(hall or symmetry.hall, friedel=True)
    fit: BundleFit | None = None
    evidence: LaueEvidence | None = None
    for _ in range(rounds):
        fit = refine_bundle(
            geometry=geometry if fit is None else fit.geometry,
            centre_px=centre_px,
            observations=o,
            sweep=sweep,
            hall=current,
            rotations=rotations,
            rocking=rocking if fit is None else fit.rocking,
            log_scale=None if fit is None else np.log(fit.scale),
            cycles=cycles,
            fixed_shape=fixed_shape,
        )
        merged = frames_merged(with_expected_sigma(o, fit), fit, sweep)
        evidence = laue_evidence(hkl=merged.hkl, intensity=merged.intensity, sigma=merged.sigma, system=symmetry.system)
        if evidence.hall == current:
            break
        current = evidence.hall
        rotations = point_rotations(current, friedel=True)
    if fit is None or evidence is None:
        raise AssertionError("at least one round is made")
    return fit, evidence
