"""From electrons to counts: efficiency, charge spread, clusters, counting noise, pile-up, saturation, dead pixels.

Order: expected electrons → what the sensor sees (efficiency, residual flat field) → spread of the impact → Poisson
clusters → dead time → counter → gaps and dead pixels. A blurred expectation is exact for independent electrons: a
Poisson field whose points are displaced is a Poisson field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d

from twin.model.instrument import Detector
from twin.physics.lattice import Floats
from twin.response.clusters import cluster_patterns, cluster_variance_px2, draw_hits

_FWHM = 2.3548200450309493


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorState:
    """What distinguishes one detector from its data sheet, the same for all frames; both (slow, fast).

    flat_field: relative sensitivity left over after the vendor's correction. bad: dead pixels and gaps.
    """

    flat_field: NDArray[np.float32]
    bad: NDArray[np.bool_]


def detector_state(*, detector: Detector, generator: np.random.Generator) -> DetectorState:
    """Draw flat field and dead pixels; the cross of gaps between chips lies in the middle."""
    shape = (detector.slow_px, detector.fast_px)
    flat = 1.0 + detector.flat_field_sd * generator.standard_normal(shape)
    bad = generator.random(shape) < detector.dead_pixel_fraction
    if detector.gap_px > 0:
        for axis, size in enumerate(shape):
            start = (size - detector.gap_px) // 2
            np.moveaxis(bad, axis, 0)[start : start + detector.gap_px] = True
    return DetectorState(flat_field=np.maximum(flat, 0.0).astype(np.float32), bad=bad)


def ideal_state(detector: Detector) -> DetectorState:
    """No flat-field error and no bad pixels."""
    shape = (detector.slow_px, detector.fast_px)
    return DetectorState(flat_field=np.ones(shape, dtype=np.float32), bad=np.zeros(shape, dtype=bool))


def bad_pixel_mask(state: DetectorState) -> NDArray[np.bool_]:
    """True where the detector must not be believed; what a laboratory would take from the vendor's mask."""
    return state.bad.copy()


def saturated(*, counts: ArrayLike, detector: Detector) -> NDArray[np.bool_]:
    """True where the counter is full."""
    return np.asarray(np.asarray(counts) >= detector.counter_max)


def expected_sensor_electrons(*, electrons: ArrayLike, detector: Detector, state: DetectorState) -> Floats:
    """Detected electrons per pixel: efficiency, flat field, and the part of the PSF that clusters do not make."""
    patterns = cluster_patterns(detector.counts_per_electron)
    seen = np.asarray(electrons, dtype=np.float64) * (detector.quantum_efficiency * state.flat_field)
    variance = (detector.psf_fwhm_px / _FWHM) ** 2 - cluster_variance_px2(patterns)
    return np.maximum(spread(seen, variance_px2=max(0.0, variance)), 0.0)


def spread(image: Floats, *, variance_px2: float) -> Floats:
    """Image folded with a narrow bell of exactly this variance along each axis: repeated (v/2, 1 − v, v/2)."""
    if variance_px2 < 1e-6:
        return image
    passes = int(np.ceil(variance_px2 / 0.3))
    v = variance_px2 / passes
    for _ in range(passes):
        for axis in (0, 1):
            image = np.asarray(convolve1d(image, np.array([0.5 * v, 1.0 - v, 0.5 * v]), axis=axis, mode="nearest"))
    return image


def detect(
    *,
    electrons: ArrayLike,
    detector: Detector,
    state: DetectorState,
    exposure_s: float,
    generator: np.random.Generator,
) -> NDArray[np.uint32]:
    """Counts (slow, fast) of one frame for expected electrons per pixel (slow, fast)."""
    shape = (detector.slow_px, detector.fast_px)
    if np.shape(electrons) != shape:
        raise ValueError(f"image of shape {np.shape(electrons)} does not fit a detector of {shape} (slow, fast) pixels")
    seen = expected_sensor_electrons(electrons=electrons, detector=detector, state=state)
    hits = draw_hits(electrons=seen, patterns=cluster_patterns(detector.counts_per_electron), generator=generator)
    if detector.dead_time_ns > 0.0:
        hits = np.rint(pile_up(hits=hits, dead_time_ns=detector.dead_time_ns, exposure_s=exposure_s)).astype(np.int64)
    counts = np.minimum(hits, detector.counter_max)
    counts[state.bad] = 0
    return counts.astype(np.uint32)


def pile_up(*, hits: ArrayLike, dead_time_ns: float, exposure_s: float) -> Floats:
    """Counts that a pixel with a non-extending dead time τ registers of n hits: n / (1 + n τ / T)."""
    n = np.asarray(hits, dtype=np.float64)
    return np.asarray(n / (1.0 + n * (dead_time_ns * 1e-9 / exposure_s)))
