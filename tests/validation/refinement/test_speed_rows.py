"""Rows of the speed page from measured times."""

from __future__ import annotations

import numpy as np
import pytest

from validation.refinement.speed import CASES, _case_rows


def test_a_gradient_is_compared_with_a_gradient_and_all_derivatives_have_no_goal() -> None:
    times = np.array([[0.1, 0.4, 1.0], [0.1, 0.5, 2.0], [0.2, 0.4, 1.0]])  # our gradient, all ours, theirs
    slopes, everything = _case_rows(CASES[1], times, version="1", about="two beams")
    assert slopes.value == pytest.approx(10.0)
    assert slopes.met is True
    assert slopes.peer_value == pytest.approx(1.0)
    assert everything.value == pytest.approx(2.5)
    assert (everything.goal, everything.met) == ("", None)
    assert everything.n == 3
