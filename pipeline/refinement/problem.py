"""The least-squares problem of many frames: which numbers are free, and χ² with its derivatives at a point.

Structure and thickness are common to all frames (or a thickness a frame); each frame has two tilts and a scale of its
own. The scales are eliminated at every point and stay in the normal matrix, so that s.u.s come from the full matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.refinement.engine import FrameResult, FrameTask
from pipeline.refinement.figures import optimal_scale
from pipeline.refinement.frames import FrameData
from pipeline.refinement.least_squares import Evaluation
from pipeline.refinement.parameters import Parametrisation
from pipeline.refinement.pool import FrameMap
from pipeline.refinement.restraints import bonds_of, restraint_rows
from pipeline.refinement.settings import DynamicalSettings
from twin.physics.lattice import Floats

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """What stays the same during a refinement."""

    parametrisation: Parametrisation
    layout: Layout
    settings: DynamicalSettings
    mapped: FrameMap
    note: Progress


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


def frame_tasks(problem: Problem, state: State, *, derivatives: bool) -> list[FrameTask]:
    """One task a frame at a state."""
    layout = problem.layout
    return [
        FrameTask(
            frame=frame,
            values=state.point[: layout.structure],
            thickness_angstrom=float(thickness),
            tilt_deg=tilt,
            mosaicity_deg=mosaicity_of(layout, state),
            structure=derivatives,
            orientation=derivatives and layout.tilts > 0,
            thickness=derivatives and layout.thicknesses > 0,
            mosaicity=derivatives and layout.mosaicity > 0,
        )
        for frame, thickness, tilt in zip(
            state.frames, thicknesses_of(layout, state), tilts_of(layout, state), strict=True
        )
    ]


def evaluator(problem: Problem, state: State) -> Callable[[Floats, bool], Evaluation]:
    """χ², gradient and normal matrix as a function of the point, for the frames of ``state``.

    Without new derivatives the last ones are used again with the new residuals (a frozen Jacobian), once there are any.
    """
    layout, settings = problem.layout, problem.settings
    kept: list[FrameResult] = []
    restrain = _restraints(problem, sum(len(f.hkl) for f in state.frames))
    stiffness = np.zeros(layout.frames)
    restrained = layout.tilts > 0 and settings.restrain_orientations

    def evaluate(point: Floats, derivatives: bool) -> Evaluation:
        at = replace(state, point=point)
        results = problem.mapped(frame_tasks(problem, at, derivatives=derivatives))
        if derivatives:
            kept[:] = results
        here, chi2, tilts = point.copy(), 0.0, tilts_of(layout, at)
        normal, gradient = np.zeros((layout.size, layout.size)), np.zeros(layout.size)
        for i, (frame, result) in enumerate(zip(state.frames, results, strict=True)):
            scale = optimal_scale(intensity=frame.intensity, calculated=result.intensity, weights=frame.weights)
            here[layout.scale_column(i)] = scale
            own = float((frame.weights * (frame.intensity - scale * result.intensity) ** 2).sum())
            if restrained and stiffness[i] == 0.0:  # as it is where the least squares begins
                stiffness[i] = own / len(frame.hkl) / settings.orientation_sd_deg**2
            turned = frame.turned_deg + tilts[i]
            chi2 += own + float(stiffness[i] * (turned @ turned))
            if kept:
                slopes = replace(kept[i], intensity=result.intensity)
                _add_frame(layout, i, frame, slopes, normal, gradient, scale, mosaicity_of(layout, at))
                if restrained:
                    where = layout.tilt_columns(i)
                    normal[where, where] += stiffness[i] * np.eye(2)
                    gradient[where] -= stiffness[i] * turned
        pull = restrain(point[: layout.structure], chi2)
        chi2 += pull[0]
        if not kept:
            return Evaluation(chi2=chi2, point=here)
        gradient[: layout.structure] += pull[1]
        normal[: layout.structure, : layout.structure] += pull[2]
        return Evaluation(chi2=chi2, gradient=gradient, normal=normal, point=here, fresh=derivatives)

    return evaluate


def _restraints(problem: Problem, observations: int) -> Callable[[Floats, float], tuple[float, Floats, Floats]]:
    """χ², gradient and normal matrix of the restraints, by structure and χ² of the data where it was first asked."""
    p, s = problem.parametrisation, problem.settings
    asked = s.bond_sd_angstrom is not None or s.u_sd_angstrom2 is not None
    bonds = bonds_of(p.crystal) if asked else ()
    unit: list[float] = []

    def terms(values: Floats, chi2: float) -> tuple[float, Floats, Floats]:
        if not bonds:
            return 0.0, np.zeros(len(p)), np.zeros((len(p), len(p)))
        if not unit:
            unit.append(chi2 / max(1, observations))
        r, rows = restraint_rows(
            p, values, bonds, bond_sd_angstrom=s.bond_sd_angstrom, u_sd_angstrom2=s.u_sd_angstrom2
        )
        return unit[0] * float(r @ r), unit[0] * (rows.T @ r), unit[0] * (rows.T @ rows)

    return terms


def _add_frame(
    layout: Layout,
    index: int,
    frame: FrameData,
    result: FrameResult,
    normal: Floats,
    gradient: Floats,
    scale: float,
    mosaicity_deg: float,
) -> None:
    rows = [scale * result.structure]
    columns = [np.arange(layout.structure)]
    if layout.thicknesses:
        rows.append(scale * result.thickness[None])
        columns.append(np.array([layout.thickness_column(index)]))
    if layout.mosaicity:
        felt = mosaicity_deg if mosaicity_deg > SMALLEST_MOSAICITY_DEG else 0.0  # its logarithm would run away
        rows.append(scale * felt * result.mosaicity[None])
        columns.append(np.array([layout.mosaicity_column]))
    if layout.tilts:
        rows.append(scale * result.orientation)
        where = layout.tilt_columns(index)
        columns.append(np.arange(where.start, where.stop))
    rows.append(result.intensity[None])
    columns.append(np.array([layout.scale_column(index)]))
    jacobian, place = np.concatenate(rows), np.concatenate(columns)
    weighted = jacobian * frame.weights
    normal[np.ix_(place, place)] += weighted @ jacobian.T
    gradient[place] += weighted @ (frame.intensity - scale * result.intensity)


def parameter_names(problem: Problem, frames: Sequence[FrameData]) -> tuple[str, ...]:
    """Names in the order of the free vector."""
    layout = problem.layout
    names = [*problem.parametrisation.names]
    names += [f"thickness{i}" for i in range(layout.thicknesses)]
    names += ["mosaicity"] * layout.mosaicity
    names += [f"frame{f.index}.tilt_{axis}" for f in frames[: layout.tilts] for axis in "xy"]
    names += [f"frame{f.index}.scale" for f in frames]
    return tuple(names)
