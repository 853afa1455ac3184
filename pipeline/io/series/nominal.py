"""What is known of a series before it is reduced: by its files, and by the one who reads them.

Angles of the tilt axis are ours: from the fast axis towards the slow one (docs/conventions.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.files.errors import InputError
from twin.model.plan import Mode

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nominal:
    """Settings, None where unknown. ``precession_deg`` is the semi-angle; ``counter_max`` the count that means
    'overloaded'; ``chip_gap_px`` how many rows and columns are missing where the chips of a quad meet (chips.py); the
    centre counts the pixels of the files."""

    wavelength_angstrom: float | None = None
    camera_length_mm: float | None = None
    pixel_size_um: float | None = None
    centre_fast_px: float | None = None
    centre_slow_px: float | None = None
    tilt_axis_deg: float | None = None
    alpha_start_deg: float | None = None
    step_deg: float | None = None
    mode: Mode | None = None
    precession_deg: float | None = None
    exposure_s: float | None = None
    counter_max: int | None = None
    chip_gap_px: int | None = None


_LIMITS = {
    "wavelength_angstrom": (0.005, 0.2),
    "camera_length_mm": (1.0, 1e5),
    "pixel_size_um": (0.5, 1000.0),
    "centre_fast_px": (-1e4, 1e5),
    "centre_slow_px": (-1e4, 1e5),
    "tilt_axis_deg": (-720.0, 720.0),
    "alpha_start_deg": (-720.0, 720.0),
    "step_deg": (-30.0, 30.0),
    "precession_deg": (0.0, 10.0),
    "exposure_s": (0.0, 1e6),
    "counter_max": (1, 2**32 - 1),
    "chip_gap_px": (0, 16),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawSeries:
    """Frames as read: counts (frames, slow, fast), bad pixels (slow, fast), what the files say, and start and end of
    each frame in degrees where they say that."""

    counts: Counts
    found: Nominal
    source: Path
    bad_pixels: NDArray[np.bool_] | None = None
    alpha_start_deg: Floats | None = None
    alpha_end_deg: Floats | None = None


def merged(*, given: Nominal, found: Nominal) -> Nominal:
    """What was given wins over what was found."""
    known = {f.name: getattr(given, f.name) for f in fields(Nominal) if getattr(given, f.name) is not None}
    return replace(found, **known)


def check_nominal(nominal: Nominal, *, source: object) -> None:
    """:class:`InputError` when a value that is there is not finite or out of its range."""
    for key, (low, high) in _LIMITS.items():
        value = getattr(nominal, key)
        if value is not None and not low <= value <= high:
            raise InputError(f"{source}: {key} is {value:g}; allowed are {low:g} to {high:g}")
