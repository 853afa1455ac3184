"""Results of a serial reduction as the types of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.reduction.frame_average import FrameMerged, merge_frames
from pipeline.reduction.merge import merge_equivalents
from pipeline.reduction.observations import Observations, take
from pipeline.reduction.predict import Sweep
from pipeline.reduction.rocking import Rocking, density
from pipeline.reduction.serial.known import KnownLattice
from pipeline.reduction.serial.quality import StillsQuality
from pipeline.reduction.serial.refine import StillsFit
from pipeline.reduction.shares import passage
from pipeline.reduction.spot_profile import SpotProfile
from pipeline.reduction.spots import Survey
from pipeline.reduction.statistics import Shell, shells
from pipeline.types import MergedReflections, Orientation, Peaks, Reflections

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SerialReduction:
    """Everything that leaves a serial reduction; ``log`` holds sentences in the order in which things were found."""

    peaks: Peaks
    orientation: Orientation
    reflections: Reflections
    merged: MergedReflections
    shells: tuple[Shell, ...]
    profile: SpotProfile
    rocking: Rocking
    quality: StillsQuality
    log: tuple[str, ...]


def assemble_serial(
    *,
    seen: Survey,
    kept: Ints,
    agree: Bools,
    o: Observations,
    fit: StillsFit,
    sweep: Sweep,
    known: KnownLattice,
    g_max: float,
    profile: SpotProfile,
    indexed_fraction: float,
    log: list[str],
) -> SerialReduction:
    """``kept``: numbers in the series of the frames that ``o`` and ``fit`` count from 0; ``agree``: which stay."""
    o = take(replace(o, sigma=np.sqrt(o.variance(fit.expected))), agree[o.frame])
    where = passage(o, fit.geometry, sweep)
    height = where.share(fit.rocking)[0] / peak_of(fit.rocking, where.g_length)
    frames_in_all = len(seen.centre_px)
    scale = np.ones(frames_in_all)
    scale[kept] = fit.scale
    reflections = Reflections(
        hkl=o.hkl,
        frame=kept[o.frame],
        intensity=o.intensity,
        sigma=o.sigma,
        fast_px=o.fast_px,
        slow_px=o.slow_px,
        excitation_error_per_angstrom=where.s,
        swept_fraction=height,
        frame_scale=scale,
        precession_deg=0.0,
        partiality=height,
    )
    frames = merge_frames(observations=o, share=height * fit.scale[o.frame], swept=height)
    merged = merge_equivalents(
        frames=frames, hall=known.hall, centring=known.centring, ub=known.reciprocal, g_max_per_angstrom=g_max
    )
    log = log + _sentences(fit, merged, frames, len(o.hkl))
    return SerialReduction(
        peaks=seen.peaks,
        orientation=_orientation(seen, kept, agree, fit, known, indexed_fraction, log),
        reflections=reflections,
        merged=merged,
        shells=shells(
            frames=frames, hall=known.hall, centring=known.centring, ub=known.reciprocal, g_max_per_angstrom=g_max
        ),
        profile=profile,
        rocking=fit.rocking,
        quality=StillsQuality(frame=kept[agree], turn_su_deg=fit.turn_su_deg[agree]),
        log=tuple(log),
    )


def peak_of(rocking: Rocking, g_length: Floats) -> Floats:
    """Height of the rocking curve in its middle at each |g|, Å."""
    return np.asarray(density(rocking.shape, np.zeros(1))[0] / rocking.widths(g_length))


def _orientation(
    seen: Survey, kept: Ints, agree: Bools, fit: StillsFit, known: KnownLattice, fraction: float, log: list[str]
) -> Orientation:
    frames = len(seen.centre_px)
    rotation, centre = np.tile(np.eye(3), (frames, 1, 1)), seen.centre_px.copy()
    indexed = np.zeros(frames, dtype=bool)
    rotation[kept], centre[kept], indexed[kept] = fit.geometry.turn, fit.geometry.centre_px, agree
    return Orientation(
        cell=known.cell,
        ub=known.reciprocal,
        rotation=rotation,
        centre_px=centre,
        microscope=fit.geometry.microscope,
        indexed=indexed,
        hall=known.hall,
        centring=known.centring,
        indexed_peaks_fraction=fraction,
        notes=tuple(log),
    )


def _sentences(fit: StillsFit, merged: MergedReflections, frames: FrameMerged, spots: int) -> list[str]:
    p = fit.geometry.microscope.projection
    return [
        f"instrument: camera length {p.camera_length_mm:.2f} mm from the known cell, ellipse {p.ellipse_percent:.2f} % "
        f"at {p.ellipse_azimuth_deg:.0f}°, residual {fit.rms_px:.3f} px; {fit.geometry.distortion.sentence()}",
        f"turns of single stills are known to {np.median(fit.turn_su_deg[:, :2]):.3f}° across the beam and "
        f"{np.median(fit.turn_su_deg[:, 2]):.3f}° about it (median standard uncertainties)",
        f"{fit.rocking.sentence()}; relative error of the kinematical model {100 * fit.error:.0f} %",
        f"merged: {len(merged.hkl)} unique to {merged.g_max_per_angstrom:.2f} Å⁻¹ from {spots} spots, "
        f"R_int {merged.r_int_percent:.1f} %, completeness {merged.completeness_percent:.0f} %, redundancy "
        f"{merged.redundancy:.1f}, {frames.rejected} spots rejected",
    ]


