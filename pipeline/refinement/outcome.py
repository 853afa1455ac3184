"""What a refinement on frames hands over: figures of merit, structure with s.u.s, scales, orientations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.refinement.figures import figures_of_merit
from pipeline.refinement.least_squares import Fit
from pipeline.refinement.parameters import crystal_of, standard_uncertainties
from pipeline.refinement.problem import Problem, State, mosaicity_of, thicknesses_of
from pipeline.refinement.start import rebased
from pipeline.types import Orientation, Refinement
from twin.physics.lattice import Floats


def refinement_of(
    problem: Problem, state: State, fit: Fit, intensities: Sequence[Floats], *, orientation: Orientation
) -> Refinement:
    """The refinement at a state where each frame has these intensities, (M,) each."""
    layout, settings, p = problem.layout, problem.settings, problem.layout.structure
    frames = rebased(layout, state)
    scales = fit.values[layout.scale_column(0) :]
    merit = figures_of_merit(
        intensity=np.concatenate([f.intensity for f in frames]),
        sigma=np.concatenate([f.sigma for f in frames]),
        calculated=np.concatenate([k * i for k, i in zip(scales, intensities, strict=True)]),
        parameters=layout.size,
        instability=settings.instability,
    )
    rotation, frame_scale = orientation.rotation.copy(), np.zeros(len(orientation.rotation))
    for frame, scale in zip(frames, scales, strict=True):
        rotation[frame.index] = frame.reciprocal_lab @ np.linalg.inv(orientation.ub)
        frame_scale[frame.index] = scale
    thickness = thicknesses_of(layout, state)
    frame_thickness = np.zeros(len(orientation.rotation))
    frame_thickness[[f.index for f in frames]] = 0.1 * thickness
    uncertainties = standard_uncertainties(problem.parametrisation, fit.covariance[:p, :p])
    if layout.thicknesses == 1 and np.isfinite(fit.covariance[p, p]):
        uncertainties["thickness_nm"] = float(0.1 * thickness[0] * np.sqrt(fit.covariance[p, p]))
    mosaic = fit.covariance[layout.mosaicity_column, layout.mosaicity_column]
    if layout.mosaicity and np.isfinite(mosaic):
        uncertainties["mosaicity_deg"] = float(mosaicity_of(layout, state) * np.sqrt(mosaic))
    return Refinement(
        kind="kinematical_frame_based" if settings.kinematical else "dynamical",
        crystal=crystal_of(problem.parametrisation, fit.values[:p]),
        parameters=layout.size,
        reflections_all=len(merit.f_obs),
        reflections_obs=int(merit.observed.sum()),
        r_obs_percent=merit.r_obs_percent,
        r_all_percent=merit.r_all_percent,
        wr_all_percent=merit.wr_all_percent,
        gof_obs=merit.gof_obs,
        hkl=np.concatenate([f.hkl for f in frames]),
        frame=np.concatenate([np.full(len(f.hkl), f.index, dtype=np.int64) for f in frames]),
        f_obs=merit.f_obs,
        f_calc=merit.f_calc,
        sigma_f=merit.sigma_f,
        observed=merit.observed,
        standard_uncertainties=uncertainties,
        thickness_nm=float(0.1 * thickness.mean()),
        mosaicity_deg=mosaicity_of(layout, state) or None,
        frame_scale=frame_scale,
        rotation=rotation,
        verdict=fit.verdict,
        cycles=fit.cycles,
        frame_thickness_nm=frame_thickness if layout.thicknesses > 1 else None,
    )
