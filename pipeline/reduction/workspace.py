"""Arrays of the size of a frame that are written anew for every frame: to ask the system for them costs more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workspace:
    """Background, counts above it, two more for filters and models of spots, all (slow, fast); and marks of pixels.

    What a function returns in them is gone at its next call with the same workspace.
    """

    background: Image
    net: Image
    first: Image
    second: Image
    marks: NDArray[np.uint8]


def workspace(shape: tuple[int, ...]) -> Workspace:
    """For frames of a shape (slow, fast)."""
    background, net, first, second = (np.zeros(shape, dtype=np.float32) for _ in range(4))
    return Workspace(background=background, net=net, first=first, second=second, marks=np.zeros(shape, dtype=np.uint8))
