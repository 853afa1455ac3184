"""A small microscope and series for the tests of files."""

from __future__ import annotations

import numpy as np
import pytest

from twin.model.dataset import Dataset
from twin.model.instrument import Beam, Detector, Microscope, Projection


@pytest.fixture(scope="session")
def small_microscope() -> Microscope:
    return Microscope(
        name="Test microscope",
        beam=Beam(energy_kev=200.0, diameter_nm=100.0, flux_e_per_angstrom2_s=24.0),
        detector=Detector(name="Test detector", fast_px=24, slow_px=20, pixel_size_um=55.0, counter_max=11800),
        projection=Projection(camera_length_mm=650.0, centre_fast_px=11.25, centre_slow_px=9.5, tilt_axis_deg=-37.5),
    )


@pytest.fixture(scope="session")
def small_dataset(small_microscope: Microscope) -> Dataset:
    generator = np.random.default_rng(3)
    start = -4.0 + 2.0 * np.arange(5)
    bad = np.zeros((20, 24), dtype=np.bool_)
    bad[3, 7] = True
    return Dataset(
        counts=generator.poisson(3.0, size=(5, 20, 24)).astype(np.uint32),
        alpha_start_deg=start,
        alpha_end_deg=start,
        exposure_s=np.full(5, 0.4),
        bad_pixels=bad,
        microscope=small_microscope,
        mode="precession",
        precession_deg=1.2,
        name="small",
    )
