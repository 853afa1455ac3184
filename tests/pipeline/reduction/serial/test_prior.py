"""Priors of stills hold values, not steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.reduction.distortion import Distortion
from pipeline.reduction.geometry import Geometry, ellipse_vector
from pipeline.reduction.serial.refine import _prior
from twin.model.instrument import Beam, Detector, Microscope, Projection


def test_the_ellipse_and_the_harmonics_are_held_as_a_whole() -> None:
    projection = Projection(
        camera_length_mm=281.0, centre_fast_px=255.5, centre_slow_px=255.5, tilt_axis_deg=0.0,
        ellipse_percent=1.2, ellipse_azimuth_deg=25.0,
    )  # fmt: skip
    microscope = Microscope(
        name="Test",
        beam=Beam(energy_kev=200.0, diameter_nm=25.0, flux_e_per_angstrom2_s=380.0),
        detector=Detector(name="Test", fast_px=512, slow_px=512, pixel_size_um=55.0),
        projection=projection,
    )
    start = Geometry(
        ub=np.diag([0.1, 0.1, 0.1]),
        centre_px=np.zeros((2, 2)),
        turn=np.tile(np.eye(3), (2, 1, 1)),
        alpha_deg=np.zeros(2),
        microscope=microscope,
    )
    now = replace(start, distortion=Distortion(barrel_percent=0.4))
    prior = _prior(now, start, np.zeros(2))
    assert np.allclose(prior.shared_offset[5:7], ellipse_vector(microscope))
    assert np.hypot(*prior.shared_offset[5:7]) > 0.011
    assert np.allclose(prior.shared_offset[7:], now.distortion.amplitudes)
