"""A dynamical refinement of stills is refused with a reason when they cannot carry it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reduction.serial.quality import StillsQuality, why_no_dynamical_refinement
from pipeline.types import Reflections


def reflections(each: int, *, over_sigma: float = 10.0) -> Reflections:
    frame = np.repeat(np.arange(6), each)
    nothing = np.zeros(len(frame))
    return Reflections(
        hkl=np.ones((len(frame), 3), dtype=np.int64),
        frame=frame,
        intensity=nothing + over_sigma,
        sigma=nothing + 1.0,
        fast_px=nothing,
        slow_px=nothing,
        excitation_error_per_angstrom=nothing,
        swept_fraction=nothing,
        frame_scale=np.ones(6),
        precession_deg=0.0,
    )


def quality(su_deg: float, frames: int = 6) -> StillsQuality:
    return StillsQuality(frame=np.arange(frames), turn_su_deg=np.full((frames, 3), su_deg))


def test_good_stills_are_let_through() -> None:
    assert why_no_dynamical_refinement(quality(0.02), reflections(60)) == ""


@pytest.mark.parametrize(
    ("of", "data", "says"),
    [
        (quality(0.9), reflections(60), "known to 0.90° or worse"),
        (quality(float("nan")), reflections(60), "or worse"),
        (quality(0.02), reflections(5), "at most 5 reflections"),
        (quality(0.02), reflections(60, over_sigma=1.0), "at most 0 reflections"),
        (quality(0.02, frames=0), reflections(60), "no still has an orientation"),
    ],
)
def test_what_is_missing_is_said(of: StillsQuality, data: Reflections, says: str) -> None:
    assert says in why_no_dynamical_refinement(of, data)
