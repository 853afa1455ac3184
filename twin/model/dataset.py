"""What a laboratory hands over: frames and nominal settings. Nothing here knows the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.model.instrument import Microscope
from twin.model.plan import Mode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A recorded series.

    counts: (frames, slow, fast) unsigned integers, as read out.
    alpha_start_deg, alpha_end_deg, exposure_s: (frames,) as the goniometer reported them.
    bad_pixels: (slow, fast) bool, True where the detector must not be believed.
    microscope: nominal settings.
    """

    counts: NDArray[np.uint32]
    alpha_start_deg: NDArray[np.float64]
    alpha_end_deg: NDArray[np.float64]
    exposure_s: NDArray[np.float64]
    bad_pixels: NDArray[np.bool_]
    microscope: Microscope
    mode: Mode
    precession_deg: float
    name: str = "series"

    @property
    def alpha_mid_deg(self) -> NDArray[np.float64]:
        return 0.5 * (self.alpha_start_deg + self.alpha_end_deg)
