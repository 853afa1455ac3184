"""A guarded stage never leaves its limits, whatever it is told."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.clocks import VirtualClock
from hardware.errors import DeviceError, LimitError
from hardware.faults import FaultPlan
from hardware.limits import GuardedGoniometer, Limits
from hardware.virtual_parts import StageModel, VirtualStage

_NUMBERS = st.one_of(st.floats(-200.0, 200.0), st.sampled_from([math.nan, math.inf, -math.inf, 60.0, -60.0, 60.0001]))
_SPEEDS = st.one_of(st.floats(-1.0, 20.0), st.sampled_from([0.0, math.nan, math.inf]))
_COMMANDS = st.lists(
    st.tuples(st.sampled_from(["move", "rotate", "stop", "wait"]), _NUMBERS, _SPEEDS), min_size=1, max_size=25
)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(_COMMANDS)
def test_no_list_of_commands_leads_beyond_the_limits(commands: list[tuple[str, float, float]]) -> None:
    clock = VirtualClock()
    stage = VirtualStage(model=StageModel(hard_limit_deg=90.0), clock=clock, faults=FaultPlan())
    guarded = GuardedGoniometer(stage, limits=Limits(tilt_min_deg=-60.0, tilt_max_deg=60.0, speed_max_deg_s=10.0))
    for command, angle, speed in commands:
        try:
            if command == "move":
                guarded.move_to(angle, speed_deg_s=speed)
            elif command == "rotate":
                guarded.start_rotation(angle, speed_deg_s=speed)
            elif command == "stop":
                guarded.stop()
            else:
                clock.sleep(abs(angle) if math.isfinite(angle) else 1.0)
        except (LimitError, DeviceError):
            pass
        assert -60.0 <= guarded.alpha_deg() <= 60.0
    low, high = stage.extremes_deg
    assert low >= -60.0
    assert high <= 60.0
