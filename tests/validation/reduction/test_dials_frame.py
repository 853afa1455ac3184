"""What DIALS says of a crystal, in our frame: x along the detector's fast axis, y along its slow one."""

from __future__ import annotations

import numpy as np
import pytest

from twin.physics.lattice import rotation_matrix, tilt_axis_vector
from validation.reduction.dials import dials_frame_ub

TO_DIALS = np.diag([-1.0, 1.0, -1.0])  # McStas axes turned by 180° about y
ALPHA_DEG = np.array([-10.0, 0.0, 25.0])


@pytest.mark.parametrize(("about", "turned_deg"), [((0, 0, 1), 0.0), ((0, 0, 1), 17.0), ((0.3, -0.9, 0.2), 0.4)])
def test_the_laboratory_as_a_whole_may_be_turned(about, turned_deg) -> None:
    """DIALS turns the detector about the beam instead of the axis, or tilts the beam: frames see the same."""
    rng = np.random.default_rng(3)
    ub = 0.1 * rng.normal(size=(3, 3))
    axis = tilt_axis_vector(32.0)
    true = np.array([rotation_matrix(axis=axis, angle_deg=a) @ ub for a in ALPHA_DEG])
    turn = rotation_matrix(axis=np.array(about), angle_deg=turned_deg)
    arrays = {
        "axis": TO_DIALS @ turn @ axis,
        "alpha_deg": ALPHA_DEG,
        "setting": np.eye(3),
        "fixed": np.eye(3),
        "a": np.tile(TO_DIALS @ turn @ ub, (3, 1, 1)),
        "fast": TO_DIALS @ turn @ np.array([1.0, 0.0, 0.0]),
        "beam": TO_DIALS @ turn @ np.array([0.0, 0.0, 40.0]),
    }
    assert np.allclose(dials_frame_ub(arrays), true, atol=1e-12)
