"""The least-squares problem of many frames: which numbers are free, and what is asked of each frame at a point.

Structure and thickness are common to all frames (or a thickness a frame); each frame has two tilts and a scale of its
own. The scales come last: they are eliminated at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.refinement.frames import FrameData
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.pool import FrameMap
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from twin.physics.lattice import Floats, Ints

SMALLEST_MOSAICITY_DEG = 1e-3  # below it a refined mosaicity stays where it is
Progress = Callable[[str, int, float], None]  # stage, cycle, value of the stage (weighted residual in percent)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Order of the free vector: structure (P), ln T (one or one a frame, or none), ln mosaicity, tilts (2 a frame),
    scales.
    """

    structure: int
    thicknesses: int
    tilts: int
    frames: int
    mosaicity: int = 0

    @property
    def size(self) -> int:
        return self.tilt_start + 2 * self.tilts + self.frames

    @property
    def tilt_start(self) -> int:
        return self.structure + self.thicknesses + self.mosaicity

    @property
    def mosaicity_column(self) -> int:
        return self.structure + self.thicknesses

    def thickness_column(self, frame: int) -> int:
        return self.structure + (frame if self.thicknesses > 1 else 0)

    def tilt_columns(self, frame: int) -> slice:
        start = self.tilt_start + 2 * frame
        return slice(start, start + 2)

    def scale_column(self, frame: int) -> int:
        return self.tilt_start + 2 * self.tilts + frame

    def columns(self, frame: int) -> Ints:
        """What a frame depends on beside its scale: structure, ln T, ln mosaicity, tilts."""
        own = [np.arange(self.structure)]
        if self.thicknesses:
            own.append(np.array([self.thickness_column(frame)]))
        if self.mosaicity:
            own.append(np.array([self.mosaicity_column]))
        if self.tilts:
            own.append(np.arange(self.tilt_columns(frame).start, self.tilt_columns(frame).stop))
        return np.concatenate(own)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """What stays the same during a refinement. few_beams: a draft, with only the beams near the sphere at each step."""

    parametrisation: Parametrisation
    layout: Layout
    settings: DynamicalSettings
    mapped: FrameMap
    note: Progress
    few_beams: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Where a refinement is. point: (layout.size,); tilts in it are relative to the frames' own orientations.

    thickness_angstrom: (F,), mosaicity_deg: what counts when they are not refined.
    """

    frames: tuple[FrameData, ...]
    point: Floats
    thickness_angstrom: Floats
    mosaicity_deg: float = 0.0


def state_at(
    layout: Layout,
    *,
    frames: tuple[FrameData, ...],
    values: Floats,
    thickness_angstrom: Floats,
    mosaicity_deg: float = 0.0,
) -> State:
    """A state with tilts of zero; thickness_angstrom (F,)."""
    point = np.zeros(layout.size)
    point[: layout.structure] = values
    if layout.thicknesses:
        columns = slice(layout.structure, layout.structure + layout.thicknesses)
        point[columns] = np.log(thickness_angstrom) if layout.thicknesses > 1 else np.log(thickness_angstrom.mean())
    if layout.mosaicity:
        point[layout.mosaicity_column] = np.log(mosaicity_deg)
    return State(frames=frames, point=point, thickness_angstrom=thickness_angstrom, mosaicity_deg=mosaicity_deg)


def mosaicity_of(layout: Layout, state: State) -> float:
    """Mosaicity in degrees."""
    return float(np.exp(state.point[layout.mosaicity_column])) if layout.mosaicity else state.mosaicity_deg


def thicknesses_of(layout: Layout, state: State) -> Floats:
    """T of every frame in Å, (F,)."""
    if not layout.thicknesses:
        return state.thickness_angstrom
    return np.exp([state.point[layout.thickness_column(i)] for i in range(layout.frames)])


def tilts_of(layout: Layout, state: State) -> Floats:
    """Tilts of every frame in degrees, (F, 2)."""
    if not layout.tilts:
        return np.zeros((layout.frames, 2))
    return state.point[layout.tilt_start : layout.tilt_start + 2 * layout.tilts].reshape(-1, 2)


def frame_tasks(problem: Problem, state: State, *, derivatives: bool = False, descent: bool = False) -> list[FrameTask]:
    """One task a frame at a state: intensities, with the derivatives of each, or with the descent of χ²."""
    layout, slopes = problem.layout, derivatives or descent
    return [
        FrameTask(
            frame=frame,
            values=state.point[: layout.structure],
            thickness_angstrom=float(thickness),
            tilt_deg=tilt,
            mosaicity_deg=mosaicity_of(layout, state),
            structure=slopes,
            orientation=slopes and layout.tilts > 0,
            thickness=slopes and layout.thicknesses > 0,
            mosaicity=slopes and layout.mosaicity > 0,
            descent=descent,
            few_beams=problem.few_beams,
        )
        for frame, thickness, tilt in zip(
            state.frames, thicknesses_of(layout, state), tilts_of(layout, state), strict=True
        )
    ]


def parameter_names(problem: Problem, frames: Sequence[FrameData]) -> tuple[str, ...]:
    """Names in the order of the free vector."""
    layout = problem.layout
    names = [*problem.parametrisation.names]
    names += [f"thickness{i}" for i in range(layout.thicknesses)]
    names += ["mosaicity"] * layout.mosaicity
    names += [f"frame{f.index}.tilt_{axis}" for f in frames[: layout.tilts] for axis in "xy"]
    names += [f"frame{f.index}.scale" for f in frames]
    return tuple(names)
