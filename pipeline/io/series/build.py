"""A data set from what the files hold and what was given, or one sentence about what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.io.series.chips import with_chip_gap
from pipeline.io.series.nominal import Nominal, RawSeries, check_nominal, merged
from twin.files.errors import InputError
from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Mode
from twin.physics.electrons import energy_kev_of_wavelength

Floats = NDArray[np.float64]

OPTIONS = {
    "wavelength_angstrom": "--wavelength-angstrom or --energy-kev",
    "camera_length_mm": "--camera-length-mm or --angstrom-per-pixel",
    "pixel_size_um": "--pixel-size-um",
    "tilt_axis_deg": "--tilt-axis-deg",
    "alpha_start_deg": "--alpha-start-deg",
    "step_deg": "--step-deg",
}


def _needed(nominal: Nominal, key: str, source: Path) -> float:
    value = getattr(nominal, key)
    if value is None:
        raise InputError(f"{source}: {key} stands in none of the files; give it ({OPTIONS[key]})")
    return float(value)


def _angles(raw: RawSeries, n: Nominal, mode: Mode) -> tuple[Floats, Floats]:
    count = len(raw.counts)
    if mode == "serial":  # every frame another particle: angles say nothing
        return np.zeros(count), np.zeros(count)
    if raw.alpha_start_deg is not None and n.step_deg is None and n.alpha_start_deg is None:
        start = np.asarray(raw.alpha_start_deg, dtype=np.float64)
        end = start if raw.alpha_end_deg is None else np.asarray(raw.alpha_end_deg, dtype=np.float64)
        if raw.alpha_end_deg is None and mode == "continuous" and count > 1:
            end = start + float(np.median(np.diff(start)))
    else:
        step = _needed(n, "step_deg", raw.source)
        start = np.asarray(_needed(n, "alpha_start_deg", raw.source) + step * np.arange(count), dtype=np.float64)
        end = start + step
    if start.shape != (count,) or end.shape != (count,) or not np.all(np.isfinite(np.concatenate([start, end]))):
        raise InputError(f"{raw.source}: {count} frames, but angles for {len(start)}, or angles that are not finite")
    middle = 0.5 * (start + end)
    return (start, end) if mode == "continuous" else (middle, middle)


def build_dataset(*, raw: RawSeries, given: Nominal) -> Dataset:
    """A :class:`Dataset`, or one sentence about what is missing."""
    n = merged(given=given, found=raw.found)
    check_nominal(n, source=raw.source)
    raw, n = with_chip_gap(raw, n)
    frames, slow, fast = raw.counts.shape
    mode: Mode = n.mode or ("precession" if n.precession_deg else "continuous")
    start, end = _angles(raw, n, mode)
    detector = Detector(
        name="detector",
        fast_px=fast,
        slow_px=slow,
        pixel_size_um=_needed(n, "pixel_size_um", raw.source),
        counter_max=int(n.counter_max if n.counter_max is not None else max(int(raw.counts.max(initial=0)), 2)),
    )
    projection = Projection(
        camera_length_mm=_needed(n, "camera_length_mm", raw.source),
        centre_fast_px=0.5 * (fast - 1) if n.centre_fast_px is None else n.centre_fast_px,
        centre_slow_px=0.5 * (slow - 1) if n.centre_slow_px is None else n.centre_slow_px,
        tilt_axis_deg=n.tilt_axis_deg or 0.0 if mode == "serial" else _needed(n, "tilt_axis_deg", raw.source),
    )
    beam = Beam(
        energy_kev=energy_kev_of_wavelength(_needed(n, "wavelength_angstrom", raw.source)),
        diameter_nm=1000.0,
        flux_e_per_angstrom2_s=0.01,
    )
    bad = np.zeros((slow, fast), dtype=bool) if raw.bad_pixels is None else raw.bad_pixels
    return Dataset(
        counts=raw.counts,
        alpha_start_deg=start,
        alpha_end_deg=end,
        exposure_s=np.full(frames, 1.0 if n.exposure_s is None else n.exposure_s),
        bad_pixels=bad,
        microscope=Microscope(name="measured", beam=beam, detector=detector, projection=projection),
        mode=mode,
        precession_deg=float(n.precession_deg or 0.0) if mode == "precession" else 0.0,
        name=raw.source.stem,
    )
