"""The virtual microscope takes the series by the same procedures as a real one: exposures -> ``frames.nxs``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hardware.clocks import VirtualClock
from hardware.errors import LimitError
from hardware.limits import Limits
from hardware.procedures import Acquisition, acquire
from hardware.virtual import TwinSource, VirtualMicroscope, stage_for
from scenarios.build import nominal_microscope
from scenarios.runfolder import RunFolder
from scenarios.schema import Scenario
from scenarios.stages.base import Context, Outcome, Stage
from scenarios.stages.simulate import TRUTH, engine_of, exposure_name, load_exposure, load_truth
from twin.files.errors import InputError
from twin.files.json import write_json
from twin.files.nxmx import SeriesRecorder, read_dataset
from twin.model.specimen import Pose
from twin.model.truth import Truth
from twin.response.detector import DetectorState, bad_pixel_mask, detect, detector_state
from twin.simulate import Engine, expected_electrons
from twin.specimen.streams import stream

FRAMES, EVENTS = "frames.nxs", "events.json"


def _settings(scenario: Scenario) -> Mapping[str, object]:
    return scenario.model_dump(include={"instrument", "acquisition", "seed"})


def _work(context: Context, truth: Truth) -> Outcome:
    path, nominal = context.file(FRAMES), nominal_microscope(context.scenario)
    if context.keep_parts and _is_whole(context):
        return Outcome(outputs=(FRAMES, EVENTS), notes=("the series was whole already",))
    path.unlink(missing_ok=True)
    if not context.keep_parts:
        shutil.rmtree(path.with_name(FRAMES + ".part"), ignore_errors=True)
    state = detector_state(detector=truth.microscope.detector, generator=stream(truth.seed, "detector"))
    recorder = SeriesRecorder(
        path,
        microscope=nominal,
        mode=truth.plan.mode,
        precession_deg=truth.plan.precession_deg,
        frame_count=truth.plan.frame_count,
        bad_pixels=bad_pixel_mask(state),
        name=context.name,
    )
    context.progress.begin("acquire", total=truth.plan.frame_count)
    acquired = _acquire(context, truth, recorder, state)
    write_json(context.file(EVENTS), list(acquired.events))
    recorder.complete()
    minutes = acquired.elapsed_s / 60
    before = f", {acquired.frames_kept} were there from an earlier start" if acquired.frames_kept else ""
    note = (
        f"{acquired.frames_taken} frames taken{before}; {minutes:.1f} min at the microscope, "
        f"{acquired.fluence_e_per_angstrom2:.3g} e/Å²"
    )
    return Outcome(outputs=(FRAMES, EVENTS), notes=(note,))


def _is_whole(context: Context) -> bool:
    """Whether an earlier start with the same key ended between the series and the manifest."""
    try:
        read_dataset(context.file(FRAMES))
    except InputError:
        return False
    return context.file(EVENTS).is_file()


def _acquire(context: Context, truth: Truth, recorder: SeriesRecorder, state: DetectorState) -> Acquisition:
    clock, nominal = VirtualClock(), nominal_microscope(context.scenario)
    source = TwinSource(
        plan=truth.plan,
        poses=truth.poses,
        tilt_axis_deg=truth.microscope.projection.tilt_axis_deg,
        render=partial(_render, truth=truth, engine=engine_of(context.scenario), folder=context.folder),
        respond=partial(_respond, truth=truth, state=state),
        bad=bad_pixel_mask(state),
    )
    device = VirtualMicroscope(source=source, nominal=nominal, clock=clock, stage=stage_for(truth.plan))
    table = context.scenario.instrument
    limits = Limits(
        tilt_min_deg=-table.max_tilt_deg, tilt_max_deg=table.max_tilt_deg, speed_max_deg_s=table.rotation_speed_deg_s
    )
    try:
        return acquire(
            device=device,
            plan=truth.plan,
            recorder=recorder,
            limits=limits,
            clock=clock,
            progress=context.progress.update,
            navigator=device.navigator,
        )
    except LimitError as error:
        raise InputError(f"the plan is beyond the limits of {table.name}: {error}") from None


def _render(pose: Pose, *, truth: Truth, engine: Engine, folder: RunFolder) -> NDArray[np.float32]:
    """The exposure made before when the pose is the planned one, else a new one."""
    if pose == truth.poses[pose.index]:
        return load_exposure(folder, pose.index).image
    return expected_electrons(truth=truth, pose=pose, engine=engine).image


def _respond(electrons: NDArray[np.floating], index: int, *, truth: Truth, state: DetectorState) -> NDArray[np.uint32]:
    """Counts of one frame; the noise is the frame's own, whatever was taken before it."""
    return detect(
        electrons=electrons,
        detector=truth.microscope.detector,
        state=state,
        exposure_s=truth.plan.exposure_s,
        generator=stream(truth.seed, f"shot/{index}"),
    )


STAGE = Stage(
    name="acquire",
    title="Acquisition",
    sources=("hardware", "twin/files", "twin/response", "scenarios/build", "scenarios/stages/acquire"),
    inputs=lambda scenario: (TRUTH, *(exposure_name(i) for i in range(scenario.acquisition.frame_count))),
    settings=_settings,
    read=lambda context: load_truth(context.folder),
    work=_work,
)
