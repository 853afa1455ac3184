"""Crystals of the study and frames made directly from the engine (no images)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pipeline.refinement.engine import FrameEngine
from pipeline.refinement.frames import FrameData, exposure_directions, relative_excitation
from pipeline.refinement.parameters import crystal_of, parametrise
from pipeline.refinement.settings import DynamicalSettings
from pipeline.refinement.tasks import FrameTask
from pipeline.types import Orientation, Reflections
from twin.model.crystal import Cell, Crystal, Site
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.physics.beams import coupled_hkl
from twin.physics.lattice import miller_indices, reciprocal_matrix, rotation_matrix, tilt_axis_vector

TILT_AXIS_DEG = -38.0


def crystal(
    name: str, cell: tuple[float, ...], hall: str, *sites: tuple[str, str, tuple[float, ...], float, float]
) -> Crystal:
    a, b, c = cell[:3]
    return Crystal(
        name=name,
        cell=Cell(a_angstrom=a, b_angstrom=b, c_angstrom=c, gamma_deg=cell[3] if len(cell) > 3 else 90.0),
        hall=hall,
        sites=tuple(
            Site(label=label, element=element, fract=(x[0], x[1], x[2]), occupancy=o, u_iso_angstrom2=u)
            for label, element, x, o, u in sites
        ),
    )


BROOKITE = crystal(
    "brookite",
    (9.174, 5.449, 5.138),
    "-P 2ac 2ab",
    ("Ti1", "Ti", (0.1289, 0.0972, 0.8628), 1.0, 0.005),
    ("O1", "O", (0.0095, 0.1491, 0.1835), 1.0, 0.0065),
    ("O2", "O", (0.2314, 0.1110, 0.5366), 1.0, 0.0065),
)
ITO = crystal(
    "ito",
    (10.1269, 10.1269, 10.1269),
    "-I 2b 2c 3",
    ("In1", "In", (0.25, 0.25, 0.25), 0.892, 0.004),
    ("Sn1", "Sn", (0.25, 0.25, 0.25), 0.108, 0.004),
    ("In2", "In", (0.4663, 0.0, 0.25), 0.892, 0.004),
    ("Sn2", "Sn", (0.4663, 0.0, 0.25), 0.108, 0.004),
    ("O1", "O", (0.3912, 0.1558, 0.3796), 1.0, 0.006),
)
ANATASE = crystal(
    "anatase",
    (3.7842, 3.7842, 9.5146),
    "-I 4bd 2",
    ("Ti1", "Ti", (0.0, 0.25, 0.375), 1.0, 0.005),
    ("O1", "O", (0.0, 0.25, 0.1669), 1.0, 0.0065),
)
MGTI2O5 = crystal(
    "mgti2o5",
    (9.7974, 9.9943, 3.7640),
    "-B 2 2b",
    ("Ti1", "Ti", (0.8104, 0.25, 0.0), 0.529, 0.0058),
    ("Mg1", "Mg", (0.8104, 0.25, 0.0), 0.471, 0.0058),
    ("Ti2", "Ti", (0.1375, 0.43632, 0.0), 0.735, 0.0081),
    ("Mg2", "Mg", (0.1375, 0.43632, 0.0), 0.265, 0.0081),
    ("O1", "O", (0.2393, 0.25, 0.0), 1.0, 0.0120),
    ("O2", "O", (0.0479, 0.8833, 0.0), 1.0, 0.0149),
    ("O3", "O", (0.31, 0.9285, 0.0), 1.0, 0.0126),
)
# alpha quartz, P 31 2 1 (No. 152): hexagonal, without a centre, x 0 z-type special positions
QUARTZ = crystal(
    "quartz",
    (4.9134, 4.9134, 5.4052, 120.0),
    'P 31 2"',
    ("Si1", "Si", (0.4697, 0.0, 1 / 3), 1.0, 0.006),
    ("O1", "O", (0.4135, 0.2669, 0.2858), 1.0, 0.010),
)
# wurtzite ZnO, P 63 m c: polar along c
ZINCITE = crystal(
    "zincite",
    (3.2495, 3.2495, 5.2069, 120.0),
    "P 6c -2c",
    ("Zn1", "Zn", (1 / 3, 2 / 3, 0.0), 1.0, 0.006),
    ("O1", "O", (1 / 3, 2 / 3, 0.382), 1.0, 0.007),
)
CRYSTALS = {c.name: c for c in (BROOKITE, ITO, ANATASE, MGTI2O5, QUARTZ, ZINCITE)}


@pytest.fixture(scope="session")
def crystals() -> dict[str, Crystal]:
    """Every crystal on its exact special positions."""
    return {name: parametrise(value).crystal for name, value in CRYSTALS.items()}


@dataclass(frozen=True)
class Series:
    orientation: Orientation
    reflections: Reflections
    true_rotation: NDArray[np.float64]


def microscope(energy_kev: float = 200.0) -> Microscope:
    return Microscope(
        name="test",
        beam=Beam(energy_kev=energy_kev, diameter_nm=25.0, flux_e_per_angstrom2_s=100.0),
        detector=Detector(name="test", fast_px=512, slow_px=512, pixel_size_um=55.0),
        projection=Projection(
            camera_length_mm=600.0, centre_fast_px=255.0, centre_slow_px=255.0, tilt_axis_deg=TILT_AXIS_DEG
        ),
    )


def simulate(
    model: Crystal,
    *,
    settings: DynamicalSettings,
    thickness_angstrom: float,
    frames: int,
    step_deg: float,
    seed: int = 0,
    noise: float = 0.0,
    jitter_deg: float = 0.05,
    semi_angle_deg: float = 1.2,
) -> Series:
    """Reflections of a tilt series from the engine itself; the orientation handed over lacks the jitter."""
    generator = np.random.default_rng(seed)
    ub = Rotation.random(random_state=generator).as_matrix() @ reciprocal_matrix(model.cell)
    axis = tilt_axis_vector(TILT_AXIS_DEG)
    nominal = np.array([rotation_matrix(axis=axis, angle_deg=-35.0 + step_deg * i) for i in range(frames)])
    true = np.array(
        [
            rotation_matrix(axis=generator.standard_normal(3), angle_deg=jitter_deg * abs(generator.standard_normal()))
            @ r
            for r in nominal
        ]
    )
    parametrisation = parametrise(model)
    engine = FrameEngine(parametrisation=parametrisation, settings=settings, energy_kev=200.0)
    directions = exposure_directions(
        mode=settings.mode, semi_angle_deg=semi_angle_deg, steps=settings.steps, tilt_axis_deg=TILT_AXIS_DEG
    )
    candidates = miller_indices(reciprocal=ub, g_max_per_angstrom=settings.g_max_per_angstrom)[1:]
    candidates = coupled_hkl(candidates, model.hall)
    hkl, frame, intensity = [], [], []
    for index in range(frames):
        ratio = relative_excitation(
            g_lab=candidates @ (true[index] @ ub).T,
            mode=settings.mode,
            semi_angle_deg=semi_angle_deg,
            tilt_axis_deg=TILT_AXIS_DEG,
            energy_kev=200.0,
        )
        h = candidates[ratio < 0.9]
        ones = np.ones(len(h))
        data = FrameData(
            index=index,
            hkl=h,
            intensity=ones,
            sigma=ones,
            weights=ones,
            reciprocal_lab=true[index] @ ub,
            directions=directions,
        )
        task = FrameTask(
            frame=data, values=parametrisation.start, thickness_angstrom=thickness_angstrom, tilt_deg=np.zeros(2)
        )
        intensity.append(1e6 * (1.0 + 0.3 * np.sin(index)) * engine.evaluate(task).intensity)
        hkl.append(h)
        frame.append(np.full(len(h), index))
    calculated = np.concatenate(intensity)
    sigma = np.hypot(max(noise, 0.01) * calculated, 0.3 * max(noise, 0.01) * np.median(calculated))
    zero = np.zeros(len(calculated))
    orientation = Orientation(
        cell=model.cell,
        ub=ub,
        rotation=nominal,
        centre_px=np.zeros((frames, 2)),
        microscope=microscope(),
        indexed=np.ones(frames, dtype=bool),
        hall="-P 1",
        centring="P",
        indexed_peaks_fraction=1.0,
    )
    reflections = Reflections(
        hkl=np.concatenate(hkl),
        frame=np.concatenate(frame),
        sigma=sigma,
        intensity=calculated + (sigma * generator.standard_normal(len(sigma)) if noise > 0 else 0.0),
        fast_px=zero,
        slow_px=zero,
        excitation_error_per_angstrom=zero,
        swept_fraction=zero + 1.0,
        frame_scale=np.ones(frames),
        precession_deg=semi_angle_deg,
    )
    return Series(orientation=orientation, reflections=reflections, true_rotation=true)


def displaced(
    model: Crystal, *, by_angstrom: float, seed: int = 1, u: float = 0.002, occupancy: float = 0.0
) -> Crystal:
    """Every free coordinate moved by ±by_angstrom, every displacement parameter raised by u."""
    parametrisation = parametrise(model, occupancy="composition" if occupancy else "fixed")
    generator = np.random.default_rng(seed)
    lengths = dict(zip("xyz", model.cell.parameters[:3], strict=True))
    values = parametrisation.start.copy()
    for i, name in enumerate(parametrisation.names):
        kind = name.rsplit(".", 1)[1]
        if kind in lengths:
            values[i] += generator.choice([-1, 1]) * by_angstrom / lengths[kind]
        else:
            values[i] += occupancy if kind == "occupancy" else u
    return crystal_of(parametrisation, values)


@pytest.fixture(scope="session")
def tools() -> dict[str, Callable[..., object]]:
    return {"simulate": simulate, "displaced": displaced, "microscope": microscope, "replace": replace}
