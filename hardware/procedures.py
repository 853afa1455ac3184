"""Acquisition: stepwise (precession or stills), continuous, serial (one still a particle). Knows the protocols only.

The plan is checked as a whole before the first move, the beam is open only while frames are exposed and is blanked at
the end whatever happens, and frames that the recorder already has are not taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DeviceError, FrameLate, LimitError, StageError
from hardware.events import Event, EventLog
from hardware.limits import (
    GuardedGoniometer,
    Limits,
    TakeUp,
    check_plan,
    run_up_start_deg,
    sweep_speed_deg_s,
)
from hardware.protocols import BeamControl, Clock, MicroscopeDevice, Navigator, Recorder
from twin.model.plan import Plan, PlannedFrame

Progress = Callable[[int, int], None]
Counts = NDArray[np.uint32]
_BLANK_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the stage is handled. ``position_tolerance_deg``: largest accepted difference of reading and request.

    settle_s: pause of the stepwise procedures between move and exposure, for the drift to calm and the particle to be
    centred again. The study needed at least 15 min for 52 steps; 15 s a step is what that leaves (assumption).
    """

    take_up: TakeUp = field(default_factory=TakeUp)
    speed_deg_s: float = 1.0  # of moves between exposures
    settle_s: float = 15.0
    position_tolerance_deg: float = 0.05
    late_frame_retries: int = 2  # stepwise only; a rotation cannot be repeated in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """Outcome: frames taken now and before, time and fluence spent now, and what happened.

    The fluence is what one particle got: of a serial series that of one exposure.
    """

    frames_taken: int
    frames_kept: int
    elapsed_s: float
    fluence_e_per_angstrom2: float
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    device: MicroscopeDevice
    goniometer: GuardedGoniometer
    plan: Plan
    recorder: Recorder
    options: Options
    clock: Clock
    log: EventLog
    progress: Progress | None
    navigator: Navigator | None = None


def acquire(
    *,
    device: MicroscopeDevice,
    plan: Plan,
    recorder: Recorder,
    limits: Limits,
    clock: Clock,
    options: Options | None = None,
    progress: Progress | None = None,
    log: EventLog | None = None,
    navigator: Navigator | None = None,
) -> Acquisition:
    """Take the frames of ``plan`` that ``recorder`` lacks.

    ``progress(done, total)`` after each frame. A ``log`` given by the caller holds the events also when this raises.
    Raises ``LimitError`` before anything moves, ``DeviceError`` when the microscope fails; the recorder then keeps
    what was taken, and a second call goes on from there.
    """
    options = Options() if options is None else options
    log = EventLog(clock=clock) if log is None else log
    flux = device.settings().beam.flux_e_per_angstrom2_s
    if plan.mode == "serial" and navigator is None:
        raise LimitError("a serial plan needs a navigator, which brings one particle after the other under the beam")
    check_plan(plan, limits=limits, take_up=options.take_up, flux_e_per_angstrom2_s=flux)
    missing = [frame for frame in plan.frames() if frame.index in set(recorder.missing)]
    kept = plan.frame_count - len(missing)
    session = _Session(
        device=device,
        goniometer=GuardedGoniometer(device.goniometer, limits=limits),
        plan=plan,
        recorder=recorder,
        options=options,
        clock=clock,
        log=log,
        progress=progress,
        navigator=navigator,
    )
    log.add("begin", text=f"{plan.mode}, {plan.frame_count} frames, {kept} of them recorded before")
    if missing:
        _run(session, missing)
    log.add("end")
    exposed_s = [frame.exposure_s for frame in missing]
    return Acquisition(
        frames_taken=len(missing),
        frames_kept=kept,
        elapsed_s=log.elapsed_s(),
        fluence_e_per_angstrom2=(max(exposed_s, default=0.0) if plan.mode == "serial" else sum(exposed_s)) * flux,
        events=tuple(log.events),
    )


def _run(session: _Session, missing: list[PlannedFrame]) -> None:
    try:
        _blank(session.device.beam, session.log)
        session.device.precession.set_semi_angle(session.plan.precession_deg)
        session.log.add("precession", value=session.plan.precession_deg)
        if session.plan.mode == "continuous":
            for stretch in _stretches(missing):
                _sweep(session, stretch)
        elif session.plan.mode == "serial":
            _particles(session, missing)
        else:
            _steps(session, missing)
    except BaseException as error:
        session.log.add("fault", text=f"{type(error).__name__}: {error}")
        raise
    finally:
        _leave_safe(session)


def _leave_safe(session: _Session) -> None:
    """Blank first, then stop; a failure to blank is the loudest error there is."""
    try:
        _blank(session.device.beam, session.log)
    finally:
        with suppress(Exception):
            session.device.detector.stop()
        with suppress(Exception):
            session.goniometer.stop()


def _steps(session: _Session, missing: Sequence[PlannedFrame]) -> None:
    before: int | None = None
    for frame in missing:
        if before is None or frame.index != before + 1:
            _approach(session, frame.alpha_start_deg)
        else:
            _move(session, frame.alpha_start_deg)
        before = frame.index
        session.clock.sleep(session.options.settle_s)
        _expose_step(session, frame)


def _particles(session: _Session, missing: Sequence[PlannedFrame]) -> None:
    """The stage stands still; a particle, a still, the next particle."""
    _approach(session, session.plan.start_deg)
    for frame in missing:
        if session.navigator is not None:
            session.log.add("particle", frame=frame.index)
            session.navigator.go_to(frame.index)
        _expose_step(session, frame)


def _expose_step(session: _Session, frame: PlannedFrame) -> None:
    for attempt in range(session.options.late_frame_retries + 1):
        start_deg = session.goniometer.alpha_deg()
        try:
            _unblank(session, frame.index)
            session.device.detector.start(frames=1, exposure_s=frame.exposure_s)
            counts = session.device.detector.read()
            break
        except FrameLate as error:
            session.device.detector.stop()
            if attempt == session.options.late_frame_retries:
                raise
            session.log.add("retry", frame=frame.index, text=str(error))
        finally:
            _blank(session.device.beam, session.log)
    _record(session, frame, counts, start_deg, session.goniometer.alpha_deg())


def _sweep(session: _Session, frames: Sequence[PlannedFrame]) -> None:
    """One rotation without a stop over neighbouring frames."""
    speed = sweep_speed_deg_s(session.plan)
    first, last = frames[0], frames[-1]
    goniometer = session.goniometer
    _move(session, run_up_start_deg(session.plan, first.alpha_start_deg, take_up=session.options.take_up))
    session.log.add("rotate", alpha_deg=last.alpha_end_deg, value=speed)
    goniometer.start_rotation(last.alpha_end_deg, speed_deg_s=speed)
    _wait_for(session, first.alpha_start_deg, speed_deg_s=speed)
    _unblank(session, first.index)
    session.device.detector.start(frames=len(frames), exposure_s=session.plan.exposure_s)
    start_deg = goniometer.alpha_deg()
    for frame in frames:
        counts = session.device.detector.read()
        end_deg = goniometer.alpha_deg()
        wrong = abs(end_deg - frame.alpha_end_deg)
        if wrong > max(session.options.position_tolerance_deg, 0.5 * abs(session.plan.step_deg)):
            planned = frame.alpha_end_deg
            raise StageError(f"after frame {frame.index} the stage reads {end_deg:.3f}°, not {planned:.3f}°")
        _record(session, frame, counts, start_deg, end_deg)
        start_deg = end_deg
    _blank(session.device.beam, session.log)


def _record(session: _Session, frame: PlannedFrame, counts: Counts, start_deg: float, end_deg: float) -> None:
    session.recorder.record(
        index=frame.index,
        counts=counts,
        alpha_start_deg=start_deg,
        alpha_end_deg=end_deg,
        exposure_s=frame.exposure_s,
    )
    session.log.add("frame", frame=frame.index, alpha_deg=end_deg)
    if session.progress is not None:
        session.progress(session.plan.frame_count - len(session.recorder.missing), session.plan.frame_count)


def _approach(session: _Session, alpha_deg: float) -> None:
    """Come to ``alpha_deg`` in the direction of the series, so that the play of the stage is taken up."""
    take_up = session.options.take_up
    start_deg = run_up_start_deg(session.plan, alpha_deg, take_up=take_up)
    for step in range(take_up.steps + 1):
        part = step / take_up.steps if take_up.steps else 1.0
        _move(session, alpha_deg if part == 1.0 else start_deg + part * (alpha_deg - start_deg))


def _move(session: _Session, alpha_deg: float) -> None:
    session.log.add("move", alpha_deg=alpha_deg, value=session.options.speed_deg_s)
    session.goniometer.move_to(alpha_deg, speed_deg_s=session.options.speed_deg_s)
    reached = session.goniometer.alpha_deg()
    if not abs(reached - alpha_deg) <= session.options.position_tolerance_deg:
        raise StageError(f"the stage was sent to {alpha_deg:.3f}° and reads {reached:.3f}°")


def _wait_for(session: _Session, alpha_deg: float, *, speed_deg_s: float) -> None:
    """Sleep until the turning stage passes ``alpha_deg``; a stage that stands still is an error, not a wait."""
    deadline = session.clock.now_s() + 2.0 * (session.options.take_up.run_up_deg + 1.0) / speed_deg_s + 5.0
    direction = 1.0 if session.plan.step_deg > 0 else -1.0
    while (left := direction * (alpha_deg - session.goniometer.alpha_deg())) > 1e-9:
        if session.clock.now_s() > deadline:
            raise StageError(f"the turning stage did not pass {alpha_deg:.3f}°; it is {left:.3f}° short of it")
        session.clock.sleep(max(left / speed_deg_s, 1e-4))


def _stretches(frames: Sequence[PlannedFrame]) -> list[list[PlannedFrame]]:
    """Runs of frames with consecutive indices."""
    stretches: list[list[PlannedFrame]] = []
    for frame in frames:
        if stretches and frame.index == stretches[-1][-1].index + 1:
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
    return stretches


def _unblank(session: _Session, index: int) -> None:
    session.log.add("unblank", frame=index)
    session.device.beam.unblank()


def _blank(beam: BeamControl, log: EventLog) -> None:
    """Blank and make sure of it, with a few attempts; the last failure is raised."""
    for attempt in range(_BLANK_ATTEMPTS):
        try:
            beam.blank()
            if beam.is_blanked():
                log.add("blank")
                return
        except Exception as error:
            log.add("fault", text=f"blanking failed: {error}")
            if attempt == _BLANK_ATTEMPTS - 1:
                raise DeviceError("THE BEAM COULD NOT BE BLANKED; close the column valves by hand") from error
    raise DeviceError("THE BEAM COULD NOT BE BLANKED; close the column valves by hand")
