"""Along what frames are drawn: the stage angle of a tilt series, the number of the still in a serial one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.model.dataset import Dataset
from twin.physics.lattice import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameAxis:
    """values (frames,), the axis label, and whether neighbours belong together and are joined by a line."""

    values: Floats
    label: str
    joined: bool

    @property
    def style(self) -> str:
        """Of the points."""
        return "o-" if self.joined else "o"


def frame_axis(dataset: Dataset) -> FrameAxis:
    """The axis of a series."""
    if dataset.mode == "serial":
        return FrameAxis(values=np.arange(len(dataset.alpha_mid_deg), dtype=np.float64), label="still", joined=False)
    return FrameAxis(values=dataset.alpha_mid_deg, label="stage angle α (°)", joined=True)
