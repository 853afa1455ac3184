"""The NeXus side of ``frames.nxs``: groups and fields of the NXmx application definition, as DIALS reads them.

Our laboratory axes are the file's (McStas) axes unchanged: z along the beam, x fast, y slow. Pixel positions of ours
have the centre of pixel (0, 0) at (0, 0); NXmx counts from its outer corner, hence the half pixel.

A stepwise frame has no rotation range, but DIALS needs one to predict spots: the goniometer axis of the file gives it
the width of a step, centred on the true angle. A series with decreasing angles is written with axis and angles
turned round. The angles as reported stand in ``/entry/edtwin``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from twin.model.instrument import Microscope
from twin.model.plan import Mode
from twin.physics.electrons import wavelength_angstrom
from twin.physics.lattice import tilt_axis_vector

Floats = NDArray[np.float64]
_NOTE = (
    "stepwise frame: alpha and alpha_end span one step, centred on the stage angle, so that programs for rotation data "
    "can predict; the reported angles are in /entry/edtwin"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesMetadata:
    """All that a file says apart from the counts. Angles and exposures are (frames,)."""

    name: str
    microscope: Microscope
    mode: Mode
    precession_deg: float
    alpha_start_deg: Floats
    alpha_end_deg: Floats
    exposure_s: Floats
    bad_pixels: NDArray[np.bool_]
    start_time: str | None = None  # ISO 8601, UTC


def write_layout(file: h5py.File, *, metadata: SeriesMetadata) -> None:
    """Write everything of NXmx but ``/entry/data/data``, which must be there already, (frames, slow, fast)."""
    file.attrs["default"] = "entry"
    entry = file["entry"]
    entry.attrs.update({"NX_class": "NXentry", "default": "data"})
    _text(entry, "definition", "NXmx")
    _text(entry, "title", metadata.name)
    if metadata.start_time is not None:
        _text(entry, "start_time", metadata.start_time)
    entry["data"].attrs.update({"NX_class": "NXdata", "signal": "data"})
    _source(entry, metadata.microscope)
    instrument = _group(entry, "instrument", "NXinstrument")
    _text(instrument, "name", metadata.microscope.name)
    _beam(instrument, metadata.microscope)
    _detector(instrument, metadata)
    _sample(entry, metadata)
    entry["instrument/detector/data"] = h5py.SoftLink("/entry/data/data")
    entry["sample/beam"] = h5py.SoftLink("/entry/instrument/beam")


def scan_angles(*, mode: Mode, alpha_start_deg: Floats, alpha_end_deg: Floats) -> tuple[Floats, Floats, bool]:
    """Start and end angles for programs that know rotation series only, and whether they were widened."""
    start, end = np.asarray(alpha_start_deg, dtype=np.float64), np.asarray(alpha_end_deg, dtype=np.float64)
    if mode == "continuous" or start.size < 2:
        return start, end, False
    half = 0.5 * float(np.median(np.diff(start)))
    return (start - half, end + half, True) if half != 0.0 else (start, end, False)


def _source(entry: Any, microscope: Microscope) -> None:
    source = _group(entry, "source", "NXsource")
    _text(source, "name", microscope.name)
    _text(source, "type", "Electron Microscope")
    _text(source, "probe", "electron")
    _quantity(source, "energy", microscope.beam.energy_kev, "keV")


def _beam(instrument: Any, microscope: Microscope) -> None:
    beam = _group(instrument, "beam", "NXbeam")
    energy_kev = microscope.beam.energy_kev
    _quantity(beam, "incident_wavelength", wavelength_angstrom(energy_kev=energy_kev), "angstrom")
    _quantity(beam, "incident_energy", energy_kev, "keV")
    _quantity(beam, "incident_beam_size", [microscope.beam.diameter_nm] * 2, "nm")
    _text(beam, "profile", {"top_hat": "top-hat", "gaussian": "gaussian"}[microscope.beam.profile])


def _detector(instrument: Any, metadata: SeriesMetadata) -> None:
    settings, projection = metadata.microscope.detector, metadata.microscope.projection
    detector = _group(instrument, "detector", "NXdetector")
    pixel_mm = settings.pixel_size_um * 1e-3
    corner_fast_px, corner_slow_px = projection.centre_fast_px + 0.5, projection.centre_slow_px + 0.5
    _text(detector, "description", settings.name)
    _text(detector, "type", "PIXEL")
    _text(detector, "sensor_material", "Si")
    # a nanometre: programs would else shift spots by the parallax of X-rays of this wavelength; DIALS refuses 0
    _quantity(detector, "sensor_thickness", 1e-6, "mm")
    _quantity(detector, "distance", projection.camera_length_mm, "mm")
    _quantity(detector, "beam_center_x", corner_fast_px, "pixel")
    _quantity(detector, "beam_center_y", corner_slow_px, "pixel")
    _quantity(detector, "x_pixel_size", pixel_mm, "mm")
    _quantity(detector, "y_pixel_size", pixel_mm, "mm")
    _quantity(detector, "count_time", metadata.exposure_s, "s")
    _quantity(detector, "frame_time", float(np.median(metadata.exposure_s)), "s")
    detector["bit_depth_readout"] = 32
    detector["saturation_value"] = settings.counter_max
    detector["underload_value"] = 0
    detector["pixel_mask_applied"] = False
    detector["pixel_mask"] = metadata.bad_pixels.astype(np.uint32)
    axes = _group(detector, "transformations", "NXtransformations")
    _axis(axes, "distance", projection.camera_length_mm, unit="mm", kind="translation", vector=(0.0, 0.0, 1.0))
    _text(detector, "depends_on", axes["distance"].name)
    module = _group(detector, "module", "NXdetector_module")
    module["data_origin"] = np.array([0, 0])
    module["data_size"] = np.array([settings.slow_px, settings.fast_px])
    module["data_stride"] = np.array([1, 1])
    corner_mm = -pixel_mm * np.array([corner_fast_px, corner_slow_px, 0.0])
    length = float(np.linalg.norm(corner_mm))
    direction = corner_mm / length if length > 0 else np.array([1.0, 0.0, 0.0])
    distance, offset = axes["distance"].name, f"{module.name}/module_offset"
    for name, value, vector, base in (
        ("module_offset", length, direction, distance),
        ("fast_pixel_direction", pixel_mm, (1.0, 0.0, 0.0), offset),
        ("slow_pixel_direction", pixel_mm, (0.0, 1.0, 0.0), offset),
    ):
        _axis(module, name, value, unit="mm", kind="translation", vector=vector, depends_on=base)


def _sample(entry: Any, metadata: SeriesMetadata) -> None:
    sample = _group(entry, "sample", "NXsample")
    _text(sample, "name", metadata.name)
    start, end, widened = scan_angles(
        mode=metadata.mode, alpha_start_deg=metadata.alpha_start_deg, alpha_end_deg=metadata.alpha_end_deg
    )
    axes = _group(sample, "transformations", "NXtransformations")
    turned = end[-1] < start[0]  # programs want increasing angles: −α about −n is the same motion
    sign = -1.0 if turned else 1.0
    vector = sign * tilt_axis_vector(metadata.microscope.projection.tilt_axis_deg)
    _axis(axes, "alpha", sign * start, unit="deg", kind="rotation", vector=vector)
    _quantity(axes, "alpha_end", sign * end, "deg")
    if widened:
        axes["alpha"].attrs["note"] = _NOTE
    _text(sample, "depends_on", axes["alpha"].name)


def _group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _text(group: Any, name: str, text: str) -> None:
    group[name] = text


def _quantity(group: Any, name: str, value: object, unit: str) -> None:
    group[name] = np.asarray(value, dtype=np.float64)
    group[name].attrs["units"] = unit


def _axis(
    group: Any, name: str, value: object, *, unit: str, kind: str, vector: object, depends_on: str = "."
) -> None:
    _quantity(group, name, value, unit)
    attributes = {"transformation_type": kind, "vector": np.asarray(vector, dtype=np.float64), "depends_on": depends_on}
    group[name].attrs.update(attributes)
