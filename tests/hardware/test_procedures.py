"""Procedures on the virtual microscope: angles, play, dose, time, faults, resume, and the beam at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hardware.clocks import VirtualClock
from hardware.errors import ConnectionLost, DeviceError, FrameLate, LimitError, StageError
from hardware.events import EventLog
from hardware.faults import Fault
from hardware.limits import Limits, TakeUp
from hardware.procedures import Acquisition, Options, acquire
from hardware.replay import plan_of, replay_microscope
from tests.hardware.conftest import Bench, MemoryRecorder, decode  # type: ignore[import-not-found]
from twin.model.dataset import Dataset
from twin.model.plan import Plan

STEPWISE = Plan(mode="precession", start_deg=-6.0, step_deg=2.0, frame_count=7, exposure_s=0.5, precession_deg=1.2)
BACKWARDS = replace(STEPWISE, start_deg=6.0, step_deg=-2.0)
STILLS = replace(STEPWISE, mode="stills", precession_deg=0.0)
SWEEP = Plan(mode="continuous", start_deg=-5.0, step_deg=0.5, frame_count=20, exposure_s=0.25)
SWEEP_BACK = replace(SWEEP, start_deg=5.0, step_deg=-0.5)
PLANS = [STEPWISE, BACKWARDS, STILLS, SWEEP, SWEEP_BACK]
Build = Callable[..., Bench]


def run(bench: Bench, **more: object) -> Acquisition:
    settings = {"limits": Limits(), **more}
    return acquire(device=bench.device, plan=bench.plan, recorder=bench.recorder, clock=bench.clock, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.mode} {p.step_deg:+}")
def test_frames_are_taken_at_the_planned_angles(bench: Build, plan: Plan) -> None:
    built = bench(plan)
    outcome = run(built)
    assert outcome.frames_taken == plan.frame_count
    for frame in plan.frames():
        counts, start, end = built.recorder.frames[frame.index]
        expected = (frame.alpha_start_deg, frame.alpha_end_deg, plan.precession_deg)
        assert decode(counts) == pytest.approx(expected, abs=6e-4)
        assert (start, end) == pytest.approx((frame.alpha_start_deg, frame.alpha_end_deg), abs=1e-9)
        assert counts[1, 0] == frame.index


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.mode} {p.step_deg:+}")
def test_the_beam_is_open_for_the_exposures_only(bench: Build, plan: Plan) -> None:
    built = bench(plan)
    outcome = run(built)
    exposed = plan.frame_count * plan.exposure_s
    assert built.device.beam.open_s == pytest.approx(exposed, abs=1e-9)
    assert outcome.fluence_e_per_angstrom2 == pytest.approx(24.0 * exposed)
    assert built.device.beam.is_blanked()


def test_play_that_is_not_taken_up_shows_in_the_frames(bench: Build) -> None:
    # the stage stands at 0° and turns back to -6°: without a run-up the specimen lags behind by the play
    built = bench(STEPWISE, backlash_deg=0.2)
    run(built, options=Options(take_up=TakeUp(steps=0)))
    first, second = decode(built.recorder.frames[0][0])[0], decode(built.recorder.frames[1][0])[0]
    assert first == pytest.approx(-6.0 + 0.2, abs=1e-3)
    assert second == pytest.approx(-4.0, abs=1e-3)


def test_acquisition_times_of_the_study(bench: Build) -> None:
    # claim C56: 120° at 2°/s about a minute; 52 steps of 2° at least a quarter of an hour
    fast = bench(Plan(mode="continuous", start_deg=-60.0, step_deg=1.0, frame_count=120, exposure_s=0.5))
    run(fast)
    assert fast.device.beam.open_s == pytest.approx(60.0)
    slow = bench(replace(STEPWISE, start_deg=-52.0, frame_count=52))
    assert 0.9 * 15 * 60 < run(slow).elapsed_s < 1.2 * 15 * 60


@pytest.mark.parametrize("plan", [STEPWISE, SWEEP], ids=["stepwise", "sweep"])
@pytest.mark.parametrize(
    ("operation", "effect", "error"),
    [
        ("detector.read", "connection lost", ConnectionLost),
        ("detector.read", "interrupted", KeyboardInterrupt),
        ("detector.start", "connection lost", ConnectionLost),
        ("detector.start", "stuck", DeviceError),
        ("goniometer.move_to", "stuck", StageError),
        ("goniometer.move_to", "connection lost", ConnectionLost),
        ("goniometer.alpha_deg", "connection lost", ConnectionLost),
        ("goniometer.alpha_deg", "interrupted", KeyboardInterrupt),
        ("beam.unblank", "connection lost", ConnectionLost),
        ("precession.set_semi_angle", "interrupted", KeyboardInterrupt),
    ],
)
def test_whatever_fails_the_beam_ends_blanked(
    bench: Build, plan: Plan, operation: str, effect: str, error: type[BaseException]
) -> None:
    met = 0
    for call in range(6):
        built = bench(plan, faults=[Fault(operation=operation, effect=effect, call=call, times=99)])  # type: ignore[arg-type]
        log = EventLog(clock=built.clock)
        try:
            run(built, log=log)
        except error:
            met += 1
            assert any(event.kind == "fault" for event in log.events)
        assert built.device.beam.is_blanked()
    assert met > 0


def test_an_error_of_the_recorder_blanks_the_beam(bench: Build) -> None:
    class Full(MemoryRecorder):
        def record(self, **frame: object) -> None:  # type: ignore[override]
            raise OSError("no space left on device")

    for plan in (STEPWISE, SWEEP):
        built = bench(plan)
        built.recorder = Full(frame_count=plan.frame_count)
        with pytest.raises(OSError, match="no space"):
            run(built)
        assert built.device.beam.is_blanked()


def test_blanking_is_tried_again_and_its_failure_is_loud(bench: Build) -> None:
    # the virtual beam starts blanked, so call 1 is the one after the first exposure
    once = bench(STEPWISE, faults=[Fault(operation="beam.blank", effect="connection lost", call=1, times=2)])
    run(once)
    assert once.device.beam.is_blanked()
    never = bench(STEPWISE, faults=[Fault(operation="beam.blank", effect="connection lost", call=1, times=99)])
    with pytest.raises(DeviceError, match="COULD NOT BE BLANKED"):
        run(never)
    silent = bench(STEPWISE, faults=[Fault(operation="beam.blank", effect="stuck", call=1, times=99)])
    with pytest.raises(DeviceError, match="COULD NOT BE BLANKED"):
        run(silent)


def test_a_stage_that_does_not_turn_is_noticed(bench: Build) -> None:
    built = bench(SWEEP, faults=[Fault(operation="goniometer.start_rotation", effect="stuck")])
    with pytest.raises(StageError, match="did not pass"):
        run(built)
    assert built.recorder.frames == {}


def test_a_late_frame_is_taken_again_stepwise_and_ends_a_sweep(bench: Build) -> None:
    late = Fault(operation="detector.read", effect="late frame", call=3, times=2)
    stepwise = bench(STEPWISE, faults=[late])
    outcome = run(stepwise)
    assert stepwise.recorder.missing == ()
    assert sum(event.kind == "retry" for event in outcome.events) == 2
    always = bench(STEPWISE, faults=[replace(late, times=9)])
    with pytest.raises(FrameLate):
        run(always)
    assert always.recorder.missing == (3, 4, 5, 6)
    sweep = bench(SWEEP, faults=[late])
    with pytest.raises(FrameLate):
        run(sweep)
    assert len(sweep.recorder.frames) == 3


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.mode} {p.step_deg:+}")
def test_an_interrupted_series_goes_on_and_equals_an_uninterrupted_one(bench: Build, plan: Plan) -> None:
    whole, broken = bench(plan), bench(plan, faults=[Fault(operation="detector.read", effect="interrupted", call=4)])
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(broken)
    outcome = run(broken)
    assert (outcome.frames_kept, outcome.frames_taken) == (4, plan.frame_count - 4)
    for index, (counts, start, end) in whole.recorder.frames.items():
        np.testing.assert_array_equal(counts, broken.recorder.frames[index][0])
        assert broken.recorder.frames[index][1:] == pytest.approx((start, end), abs=1e-9)


@pytest.mark.parametrize("plan", [STEPWISE, SWEEP], ids=["stepwise", "sweep"])
def test_gaps_in_a_series_are_filled(bench: Build, plan: Plan) -> None:
    built = bench(plan)
    run(built)
    complete = dict(built.recorder.frames)
    for index in (0, 3, 4):
        del built.recorder.frames[index]
    assert run(built).frames_taken == 3
    for index in (0, 3, 4):
        np.testing.assert_array_equal(built.recorder.frames[index][0], complete[index][0])


def test_nothing_is_moved_when_all_frames_are_there(bench: Build) -> None:
    built = bench(STEPWISE)
    run(built)
    assert [event.kind for event in run(built).events] == ["begin", "end"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_deg": 70.0}, "tilt"),
        ({"start_deg": -74.0}, "run-up"),
        ({"step_deg": 20.0, "start_deg": -60.0}, "step_deg"),
        ({"exposure_s": 1000.0}, "exposure_s"),
        ({"precession_deg": 5.0}, "precession_deg"),
        ({"frame_count": 0}, "frame_count"),
        ({"start_deg": float("nan")}, "tilt"),
        ({"exposure_s": float("nan")}, "exposure_s"),
    ],
)
def test_a_plan_beyond_the_limits_moves_nothing(bench: Build, changes: dict[str, float], words: str) -> None:
    built = bench(STEPWISE)
    built.plan = replace(STEPWISE, **changes)  # type: ignore[arg-type]
    with pytest.raises(LimitError, match=words):
        run(built)
    assert built.device.goniometer.extremes_deg == (0.0, 0.0)
    assert built.clock.now_s() == 0.0


def test_dose_and_speed_limits(bench: Build) -> None:
    with pytest.raises(LimitError, match="fluence"):
        run(bench(STEPWISE), limits=Limits(fluence_max_e_per_angstrom2=80.0))  # 7 × 0.5 s × 24 = 84
    with pytest.raises(LimitError, match="speed"):
        run(bench(SWEEP), limits=Limits(speed_max_deg_s=1.9))


def test_replay_gives_the_same_frames_and_the_same_kinds_of_events(bench: Build) -> None:
    for plan in (STEPWISE, SWEEP_BACK):
        built = bench(plan)
        outcome = run(built)
        frames = [built.recorder.frames[i] for i in range(plan.frame_count)]
        recorded = Dataset(
            counts=np.array([f[0] for f in frames], dtype=np.uint32),
            alpha_start_deg=np.array([f[1] for f in frames]),
            alpha_end_deg=np.array([f[2] for f in frames]),
            exposure_s=np.full(plan.frame_count, plan.exposure_s),
            bad_pixels=np.zeros((6, 8), dtype=np.bool_),
            microscope=built.device.settings(),
            mode=plan.mode,
            precession_deg=plan.precession_deg,
        )
        clock, recorder = VirtualClock(), MemoryRecorder(frame_count=plan.frame_count)
        device = replay_microscope(recorded, clock=clock)
        replayed = acquire(device=device, plan=plan_of(recorded), recorder=recorder, limits=Limits(), clock=clock)
        for index in range(plan.frame_count):
            np.testing.assert_array_equal(recorder.frames[index][0], recorded.counts[index])
        assert [(e.kind, e.frame) for e in replayed.events] == [(e.kind, e.frame) for e in outcome.events]
