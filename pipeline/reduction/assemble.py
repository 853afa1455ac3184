"""The results of a reduction as the types of the pipeline, with the sentences of its log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.axis import AxisSearch
from pipeline.reduction.bundle import BundleFit
from pipeline.reduction.frame_average import merge_frames
from pipeline.reduction.lattice import Indexed
from pipeline.reduction.laue import LaueEvidence
from pipeline.reduction.merge import merge_equivalents
from pipeline.reduction.noise import NoiseModel
from pipeline.reduction.observations import Observations
from pipeline.reduction.rocking import Rocking
from pipeline.reduction.series import sweep_of
from pipeline.reduction.shares import passage
from pipeline.reduction.spot_profile import SpotProfile
from pipeline.reduction.spots import Survey
from pipeline.reduction.statistics import Shell, shells
from pipeline.types import MergedReflections, Orientation, Peaks, Reflections
from twin.model.dataset import Dataset
from twin.physics.lattice import cell_from_reciprocal_matrix

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReducedSeries:
    """Everything that leaves the reduction; ``log`` holds sentences in the order in which things were found."""

    peaks: Peaks
    orientation: Orientation
    reflections: Reflections
    merged: MergedReflections
    shells: tuple[Shell, ...]
    peak_hkl: Ints  # (spots, 3), zeros where not indexed
    noise: NoiseModel
    profile: SpotProfile
    axis_trials: Floats  # (m, 2) azimuth in degrees, contrast
    tilt_deg: Floats  # (frames, 3) correction of each frame as a rotation vector in the laboratory
    rocking: Rocking
    fit: BundleFit
    laue: LaueEvidence
    log: tuple[str, ...]


def assemble(
    dataset: Dataset,
    seen: Survey,
    found: Indexed,
    axis: AxisSearch,
    fit: BundleFit,
    evidence: LaueEvidence,
    o: Observations,
    profile: SpotProfile,
    g_max: float,
    log: list[str],
) -> ReducedSeries:
    geometry = fit.geometry
    sweep = sweep_of(dataset, geometry.microscope.projection.tilt_axis_deg)
    where = passage(o, geometry, sweep)
    p, swept = where.share(fit.rocking)[0], where.swept(fit.rocking)
    unit = float(np.median(p[swept > 0.6])) if np.any(swept > 0.6) else float(np.median(p))
    reflections = Reflections(
        hkl=o.hkl,
        frame=o.frame,
        intensity=o.intensity,
        sigma=o.sigma,
        fast_px=o.fast_px,
        slow_px=o.slow_px,
        excitation_error_per_angstrom=where.s,
        swept_fraction=swept,
        frame_scale=fit.scale,
        precession_deg=sweep.half_angle_deg,
        partiality=p / unit,
        additive=sweep.mode == "continuous",
    )
    frames = merge_frames(
        observations=o,
        share=p / unit * fit.scale[o.frame],
        swept=swept,
        relative_error=fit.error,
        additive=reflections.additive,
    )
    centring, ub = found.symmetry.centring, geometry.ub
    merged = merge_equivalents(frames=frames, hall=evidence.hall, centring=centring, ub=ub, g_max_per_angstrom=g_max)
    turn_deg = np.degrees(geometry.turn_vector)
    on_frame = np.bincount(seen.peaks.frame[found.good], minlength=len(dataset.counts))
    every = np.bincount(seen.peaks.frame, minlength=len(dataset.counts))
    around = np.convolve(on_frame, np.ones(11), mode="same")  # of weak series a frame is held by its neighbours
    indexed = (around >= 5) & (on_frame >= 0.3 * every)
    low = np.linalg.norm(found.hkl @ ub.T, axis=1) < 0.9 * g_max
    fraction = float(np.mean(found.good[low | ~found.good])) if len(low) else 0.0
    optics = geometry.microscope.projection
    log.append(
        f"frames: corrections {np.sqrt(np.mean(turn_deg**2, axis=0)).round(3).tolist()}° rms about x, y, z; "
        f"azimuth {optics.tilt_axis_deg:.3f} ± {fit.axis_sd_deg:.3f}°; residual {fit.rms_px:.3f} px; "
        f"ellipse {optics.ellipse_percent:.2f} % at {optics.ellipse_azimuth_deg:.0f}°; {geometry.distortion.sentence()}"
    )
    log.append(fit.looseness.sentence())
    log.append(f"{fit.rocking.sentence()}; relative error of the kinematical model {100 * fit.error:.1f} %")
    log.append(
        f"merged: {len(merged.hkl)} unique to {g_max:.2f} Å⁻¹, R_int {merged.r_int_percent:.1f} %, "
        f"completeness {merged.completeness_percent:.0f} %, "
        f"redundancy {merged.redundancy:.1f}, {frames.rejected} spots rejected"
    )
    orientation = Orientation(
        cell=cell_from_reciprocal_matrix(ub),
        ub=ub,
        rotation=geometry.rotation,
        centre_px=geometry.centre_px,
        microscope=geometry.microscope,
        indexed=indexed,
        hall=evidence.hall,
        centring=centring,
        indexed_peaks_fraction=fraction,
        tilt_axis_sd_deg=fit.axis_sd_deg,
        sense_sigmas=found.sense_sigmas,
        notes=tuple(log),
    )
    return ReducedSeries(
        peaks=seen.peaks,
        orientation=orientation,
        reflections=reflections,
        merged=merged,
        shells=shells(frames=frames, hall=evidence.hall, centring=centring, ub=ub, g_max_per_angstrom=g_max),
        peak_hkl=np.where(found.good[:, None], found.hkl, 0),
        noise=seen.noise,
        profile=profile,
        axis_trials=axis.trials,
        tilt_deg=turn_deg,
        rocking=fit.rocking,
        fit=fit,
        laue=evidence,
        log=tuple(log),
    )
