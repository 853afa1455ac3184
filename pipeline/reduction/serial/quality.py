"""Whether stills can carry a dynamical refinement: each of them needs its own orientation and scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.types import Reflections

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LARGEST_SU_DEG = 0.4  # a refinement was seen to come back from turns of this size (docs/validation/serial.md)
FEWEST_REFLECTIONS = 9  # observed ones a still: three for each of its three parameters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StillsQuality:
    """frame (n,): stills with an orientation; turn_su_deg (n, 3): uncertainties of their turns about x, y, z."""

    frame: Ints
    turn_su_deg: Floats


def why_no_dynamical_refinement(quality: StillsQuality, reflections: Reflections) -> str:
    """A sentence when the data do not support it, else an empty text."""
    if len(quality.frame) == 0:
        return "no still has an orientation"
    across = float(np.median(quality.turn_su_deg[:, :2]))
    if not across <= LARGEST_SU_DEG:
        return (
            f"the tilts of half of the stills are known to {across:.2f}° or worse; a dynamical refinement needs "
            f"{LARGEST_SU_DEG:g}° to find its way from there"
        )
    seen = reflections.intensity > 3.0 * reflections.sigma
    number = np.bincount(reflections.frame[seen], minlength=int(quality.frame.max()) + 1)[quality.frame]
    if np.median(number) < FEWEST_REFLECTIONS:
        return (
            f"half of the stills have at most {int(np.median(number))} reflections above 3σ; a scale and two tilts for "
            f"each need at least {FEWEST_REFLECTIONS}"
        )
    return ""
