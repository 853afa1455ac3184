"""A serial series on the virtual microscope: one still a particle, a stage that stands still, dose for each alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hardware.clocks import VirtualClock
from hardware.errors import ConnectionLost, LimitError
from hardware.faults import Fault
from hardware.limits import Limits
from hardware.procedures import Acquisition, acquire
from hardware.replay import plan_of, replay_microscope
from tests.hardware.conftest import Bench, MemoryRecorder  # type: ignore[import-not-found]
from twin.model.dataset import Dataset
from twin.model.plan import Plan

PLAN = Plan(mode="serial", start_deg=0.0, step_deg=0.0, frame_count=9, exposure_s=0.5)
Build = Callable[..., Bench]


def run(bench: Bench, *, limits: Limits | None = None) -> Acquisition:
    return acquire(
        device=bench.device,
        plan=bench.plan,
        recorder=bench.recorder,
        clock=bench.clock,
        limits=limits or Limits(),
        navigator=bench.device.navigator,
    )


def test_every_frame_shows_its_own_particle_at_the_same_tilt(bench: Build) -> None:
    built = bench(PLAN)
    outcome = run(built)
    assert sorted(built.recorder.frames) == list(range(9))
    for index, (counts, start, end) in built.recorder.frames.items():
        assert counts[1, 0] == index  # the random stream and the pose of that particle
        assert (start, end) == (0.0, 0.0)
    assert outcome.frames_taken == 9
    assert built.device.beam.is_blanked()
    assert built.device.beam.open_s == pytest.approx(9 * 0.5)
    particles = [event.frame for event in outcome.events if event.kind == "particle"]
    assert particles == list(range(9))


def test_the_fluence_is_that_of_one_particle(bench: Build) -> None:
    assert run(bench(PLAN)).fluence_e_per_angstrom2 == pytest.approx(24.0 * 0.5)
    tight = Limits(fluence_max_e_per_angstrom2=24.0 * 0.5)
    assert run(bench(PLAN), limits=tight).frames_taken == 9
    with pytest.raises(LimitError, match="fluence"):
        run(bench(replace(PLAN, exposure_s=0.6)), limits=tight)


def test_an_interrupted_series_goes_on_with_the_particles_that_are_missing(bench: Build) -> None:
    whole = bench(PLAN)
    broken = bench(PLAN, faults=[Fault(operation="detector.read", effect="connection lost", call=4)])
    run(whole)
    with pytest.raises(ConnectionLost):
        run(broken)
    assert broken.device.beam.is_blanked()
    assert sorted(broken.recorder.frames) == [0, 1, 2, 3]
    again = run(broken)
    assert (again.frames_taken, again.frames_kept) == (5, 4)
    for index, (counts, *_) in whole.recorder.frames.items():
        assert (broken.recorder.frames[index][0] == counts).all()


def test_a_recorded_series_is_replayed_particle_by_particle(bench: Build) -> None:
    built = bench(PLAN)
    run(built)
    frames = [built.recorder.frames[i][0] for i in range(9)]
    recorded = Dataset(
        counts=np.array(frames, dtype=np.uint32),
        alpha_start_deg=np.zeros(9),
        alpha_end_deg=np.zeros(9),
        exposure_s=np.full(9, 0.5),
        bad_pixels=np.zeros(frames[0].shape, dtype=np.bool_),
        microscope=built.device.settings(),
        mode="serial",
        precession_deg=0.0,
    )
    assert plan_of(recorded) == PLAN
    clock = VirtualClock()
    device = replay_microscope(recorded, clock=clock)
    again = Bench(device=device, clock=clock, recorder=MemoryRecorder(frame_count=9), plan=plan_of(recorded))
    run(again)
    assert all((again.recorder.frames[i][0] == frames[i]).all() for i in range(9))


def test_a_serial_plan_without_a_navigator_is_refused_before_anything_moves(bench: Build) -> None:
    built = bench(PLAN)
    with pytest.raises(LimitError, match="navigator"):
        acquire(
            device=built.device, plan=PLAN, recorder=built.recorder, clock=built.clock, limits=Limits()
        )
    assert built.clock.now_s() == 0.0
