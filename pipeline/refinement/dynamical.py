"""Frame-wise refinement against dynamical (or, in the weak limit, kinematical) intensities.

Structure and thickness are common to all frames; each frame has a scale and two tilts of its own. The scales are
eliminated at every point and stay in the normal matrix, so that s.u.s come from the full matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.refinement.engine import FrameResult, FrameTask, turn_matrix
from pipeline.refinement.figures import FiguresOfMerit, figures_of_merit, optimal_scale
from pipeline.refinement.frames import FrameData, select_frames
from pipeline.refinement.kinematical import step_limits
from pipeline.refinement.least_squares import Control, Evaluation, Fit, minimise
from pipeline.refinement.parameters import Parametrisation, crystal_of, parametrise, standard_uncertainties
from pipeline.refinement.pool import FrameMap, frame_map
from pipeline.refinement.scan import optimise_orientations, scan_thickness
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.thickness import node_count
from pipeline.types import Orientation, Refinement, Reflections
from twin.files.errors import InputError
from twin.model.crystal import Crystal
from twin.physics.lattice import Floats

Progress = Callable[[str, int, float], None]  # stage, cycle, weighted residual in percent

_LOG_THICKNESS_STEP = 0.3
_TILT_STEP_DEG = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Order of the free vector: structure (P), ln T (one or one a frame, or none), tilts (2 a frame), scales."""

    structure: int
    thicknesses: int
    tilts: int
    frames: int

    @property
    def size(self) -> int:
        return self.structure + self.thicknesses + 2 * self.tilts + self.frames

    def thickness_column(self, frame: int) -> int:
        return self.structure + (frame if self.thicknesses > 1 else 0)

    def tilt_columns(self, frame: int) -> slice:
        start = self.structure + self.thicknesses + 2 * frame
        return slice(start, start + 2)

    def scale_column(self, frame: int) -> int:
        return self.structure + self.thicknesses + 2 * self.tilts + frame


def _tasks(
    frames: Sequence[FrameData], layout: Layout, point: Floats, *, log_thickness: float, derivatives: bool
) -> list[FrameTask]:
    tasks = []
    for i, frame in enumerate(frames):
        log_t = point[layout.thickness_column(i)] if layout.thicknesses else log_thickness
        tasks.append(
            FrameTask(
                frame=frame,
                values=point[: layout.structure],
                thickness_angstrom=float(np.exp(log_t)),
                tilt_deg=point[layout.tilt_columns(i)] if layout.tilts else np.zeros(2),
                structure=derivatives,
                orientation=derivatives and layout.tilts > 0,
                thickness=derivatives and layout.thicknesses > 0,
            )
        )
    return tasks


def _add_frame(
    layout: Layout, index: int, frame: FrameData, result: FrameResult, normal: Floats, gradient: Floats, scale: float
) -> None:
    rows = [scale * result.structure]
    columns = [np.arange(layout.structure)]
    if layout.thicknesses:
        rows.append(scale * result.thickness[None])
        columns.append(np.array([layout.thickness_column(index)]))
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


def _evaluator(
    frames: Sequence[FrameData], layout: Layout, mapped: FrameMap, log_thickness: float
) -> Callable[[Floats, bool], Evaluation]:
    def evaluate(point: Floats, derivatives: bool) -> Evaluation:
        results = mapped(_tasks(frames, layout, point, log_thickness=log_thickness, derivatives=derivatives))
        here = point.copy()
        chi2 = 0.0
        normal = np.zeros((layout.size, layout.size) if derivatives else (0, 0))
        gradient = np.zeros(layout.size if derivatives else 0)
        for i, (frame, result) in enumerate(zip(frames, results, strict=True)):
            scale = optimal_scale(intensity=frame.intensity, calculated=result.intensity, weights=frame.weights)
            here[layout.scale_column(i)] = scale
            chi2 += float((frame.weights * (frame.intensity - scale * result.intensity) ** 2).sum())
            if derivatives:
                _add_frame(layout, i, frame, result, normal, gradient, scale)
        if not derivatives:
            return Evaluation(chi2=chi2, point=here)
        return Evaluation(chi2=chi2, gradient=gradient, normal=normal, point=here)

    return evaluate


def refine_dynamical(
    *,
    model: Crystal,
    orientation: Orientation,
    reflections: Reflections,
    settings: DynamicalSettings,
    workers: int = 1,
    progress: Progress | None = None,
) -> Refinement:
    """Refine ``model`` against frames. Orientations and thickness are found first, then everything together."""
    cell = replace(model, cell=orientation.cell)
    parametrisation = parametrise(cell, anisotropic=settings.anisotropic, occupancy=settings.occupancy)
    frames = select_frames(orientation=orientation, reflections=reflections, settings=settings, hall=model.hall)
    observations = sum(len(f.hkl) for f in frames)
    layout = Layout(
        structure=len(parametrisation),
        thicknesses=0 if not settings.refine_thickness else len(frames) if settings.thickness_per_frame else 1,
        tilts=len(frames) if settings.refine_orientations else 0,
        frames=len(frames),
    )
    _check_enough(observations, layout, model)
    energy = orientation.microscope.beam.energy_kev
    note = progress or (lambda stage, cycle, value: None)
    with frame_map(parametrisation=parametrisation, settings=settings, energy_kev=energy, workers=workers) as mapped:
        start_t, frames = _prepare(mapped, frames, parametrisation.start, settings, note)
    nodes = node_count(thickness_angstrom=1.2 * start_t, bandwidth_per_angstrom=2 * settings.s_g_max_per_angstrom)
    with frame_map(
        parametrisation=parametrisation, settings=settings, energy_kev=energy, workers=workers, nodes=nodes
    ) as mapped:
        fit, frames = _least_squares(mapped, frames, parametrisation, layout, start_t, settings, note)
        final = mapped(_tasks(frames, layout, fit.values, log_thickness=float(np.log(start_t)), derivatives=False))
    return _result(
        fit,
        frames,
        final,
        parametrisation=parametrisation,
        layout=layout,
        settings=settings,
        orientation=orientation,
        start_t=start_t,
    )


def _check_enough(observations: int, layout: Layout, model: Crystal) -> None:
    if layout.frames == 0:
        raise InputError(
            "no frame has enough usable reflections inside the exposure: check the orientations, the space group of "
            f"'{model.name}', r_s_g_max and minimum_reflections_per_frame"
        )
    if observations <= layout.size:
        raise InputError(
            f"{observations} reflections on {layout.frames} frames cannot determine {layout.size} parameters: at least "
            "one more reflection than parameters is needed"
        )


def _prepare(
    mapped: FrameMap, frames: tuple[FrameData, ...], values: Floats, settings: DynamicalSettings, note: Progress
) -> tuple[float, tuple[FrameData, ...]]:
    """(T in Å, frames in their best orientations) for the starting structure."""
    thickness = 10.0 * settings.thickness_nm if settings.thickness_nm is not None else 0.0
    for cycle in range(2):
        if settings.thickness_nm is None:
            trial, residual = scan_thickness(
                frame_map=mapped, frames=_spread_of(frames, 12), values=values, settings=settings
            )
            thickness = float(trial[np.argmin(residual)])
            note("thickness", cycle, 100.0 * float(np.sqrt(residual.min())))
        if not settings.refine_orientations:
            break
        frames, tilt = optimise_orientations(
            frame_map=mapped, frames=frames, values=values, thickness_angstrom=thickness, cycles=4 if cycle == 0 else 2
        )
        note("orientation", cycle, float(np.sqrt(np.mean(tilt**2))))
    return thickness, frames


def _spread_of(frames: tuple[FrameData, ...], count: int) -> tuple[FrameData, ...]:
    """At most ``count`` frames, evenly over the series."""
    if len(frames) <= count:
        return frames
    return tuple(frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int))


def _least_squares(
    mapped: FrameMap,
    frames: tuple[FrameData, ...],
    parametrisation: Parametrisation,
    layout: Layout,
    start_t: float,
    settings: DynamicalSettings,
    note: Progress,
) -> tuple[Fit, tuple[FrameData, ...]]:
    observations = sum(len(f.hkl) for f in frames)
    start = np.zeros(layout.size)
    start[: layout.structure] = parametrisation.start
    start[layout.structure : layout.structure + layout.thicknesses] = np.log(start_t)
    limits = np.full(layout.size, np.inf)
    limits[: layout.structure] = step_limits(parametrisation)
    limits[layout.structure : layout.structure + layout.thicknesses] = _LOG_THICKNESS_STEP
    tilts = slice(layout.structure + layout.thicknesses, layout.structure + layout.thicknesses + 2 * layout.tilts)
    limits[tilts] = _TILT_STEP_DEG
    total = sum(float((f.weights * f.intensity**2).sum()) for f in frames)
    names = parametrisation.names + tuple(f"thickness{i}" for i in range(layout.thicknesses))
    names += tuple(f"frame{f.index}.tilt_{a}" for f in frames[: layout.tilts] for a in "xy")
    names += tuple(f"frame{f.index}.scale" for f in frames)
    fit = minimise(
        start=start,
        evaluate=_evaluator(frames, layout, mapped, float(np.log(start_t))),
        observations=observations,
        names=names,
        max_shift=limits,
        control=_control(settings),
        progress=lambda cycle, chi2: note("refinement", cycle, 100.0 * float(np.sqrt(chi2 / total))),
    )
    return fit, frames


def _control(settings: DynamicalSettings) -> Control:
    if settings.single_precision:
        return Control(max_cycles=settings.max_cycles, shift_over_su=0.05, relative_chi2=1e-5)
    return Control(max_cycles=settings.max_cycles, relative_chi2=1e-14)


def _merit(
    frames: Sequence[FrameData], results: Sequence[FrameResult], scales: Floats, *, parameters: int, instability: float
) -> FiguresOfMerit:
    return figures_of_merit(
        intensity=np.concatenate([f.intensity for f in frames]),
        sigma=np.concatenate([f.sigma for f in frames]),
        calculated=np.concatenate([k * r.intensity for k, r in zip(scales, results, strict=True)]),
        parameters=parameters,
        instability=instability,
    )


def _result(
    fit: Fit,
    frames: Sequence[FrameData],
    results: Sequence[FrameResult],
    *,
    parametrisation: Parametrisation,
    layout: Layout,
    settings: DynamicalSettings,
    orientation: Orientation,
    start_t: float,
) -> Refinement:
    p = layout.structure
    scales = fit.values[layout.scale_column(0) :]
    merit = _merit(frames, results, scales, parameters=layout.size, instability=settings.instability)
    rotation = orientation.rotation.copy()
    frame_scale = np.zeros(len(rotation))
    for i, frame in enumerate(frames):
        tilt = fit.values[layout.tilt_columns(i)] if layout.tilts else np.zeros(2)
        rotation[frame.index] = turn_matrix(tilt) @ frame.reciprocal_lab @ np.linalg.inv(orientation.ub)
        frame_scale[frame.index] = scales[i]
    log_t = fit.values[p : p + layout.thicknesses] if layout.thicknesses else np.log([start_t])
    uncertainties = standard_uncertainties(parametrisation, fit.covariance[:p, :p])
    if layout.thicknesses == 1 and np.isfinite(fit.covariance[p, p]):
        uncertainties["thickness_nm"] = float(0.1 * np.exp(log_t[0]) * np.sqrt(fit.covariance[p, p]))
    return Refinement(
        kind="kinematical_frame_based" if settings.kinematical else "dynamical",
        crystal=crystal_of(parametrisation, fit.values[:p]),
        parameters=layout.size,
        reflections_all=len(merit.f_obs),
        reflections_obs=int(merit.observed.sum()),
        r_obs_percent=merit.r_obs_percent,
        r_all_percent=merit.r_all_percent,
        wr_all_percent=merit.wr_all_percent,
        gof_obs=merit.gof_obs,
        hkl=np.concatenate([f.hkl for f in frames]),
        frame=np.concatenate([np.full(len(f.hkl), f.index, dtype=np.int64) for f in frames]),
        f_obs=merit.f_obs,
        f_calc=merit.f_calc,
        sigma_f=merit.sigma_f,
        observed=merit.observed,
        standard_uncertainties=uncertainties,
        thickness_nm=float(0.1 * np.exp(log_t).mean()),
        frame_scale=frame_scale,
        rotation=rotation,
        verdict=fit.verdict,
        cycles=fit.cycles,
    )
