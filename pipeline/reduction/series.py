"""What the nominal settings of a series say: scale of the detector, sweep of an exposure."""

from __future__ import annotations

import numpy as np

from pipeline.reduction.predict import Sweep
from twin.model.dataset import Dataset
from twin.physics.electrons import wavenumber_per_angstrom


def px_per_inverse_angstrom(dataset: Dataset) -> float:
    """Scale of the detector at small angles, px for 1 Å⁻¹."""
    m = dataset.microscope
    length = m.projection.camera_length_mm * 1e3 / m.detector.pixel_size_um
    return float(length / wavenumber_per_angstrom(energy_kev=m.beam.energy_kev))


def sweep_of(dataset: Dataset, tilt_axis_deg: float) -> Sweep:
    k = wavenumber_per_angstrom(energy_kev=dataset.microscope.beam.energy_kev)
    half = dataset.precession_deg
    if dataset.mode == "continuous":
        half = 0.5 * float(np.median(np.abs(dataset.alpha_end_deg - dataset.alpha_start_deg)))
    return Sweep(mode=dataset.mode, half_angle_deg=half, tilt_axis_deg=tilt_axis_deg, wavenumber=k)
