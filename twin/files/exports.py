"""A series for other programs: PETS (16-bit TIFF and a .pts project) and SMV (.img), from a :class:`Dataset`.

Both hold 16 bits: larger counts are written as 65535, which both programs treat as overload.

PETS counts pixels from 1 (the peaks of a published PETS project lie 1.01 and 0.98 px above the 0-based centres of its
own image), its y of the image runs down as ours, its tilt axis ω is −φ (docs/conventions.md), α is the middle of the
frame. SMV keeps the beam centre from the corner of the first pixel in mm, BEAM_CENTER_X along the slow axis (as dxtbx
reads ADSC headers), and has no key for the tilt axis: it must be given to the program (:func:`smv_axis`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from twin.files.atomic import atomic_path, inside, write_bytes, write_text
from twin.files.nxmx_layout import scan_angles
from twin.model.dataset import Dataset
from twin.physics.electrons import wavelength_angstrom
from twin.physics.lattice import tilt_axis_vector

_SMV_HEADER_BYTES = 1024


def write_pets(dataset: Dataset, folder: Path, *, name: str = "series", d_star_max_per_angstrom: float = 1.8) -> Path:
    """Write ``folder/name.pts`` and ``folder/tiff/00001.tif`` …; returns the path of the project file."""
    folder = Path(folder)
    images = [f"{index + 1:05d}.tif" for index in range(len(dataset.counts))]
    for image, counts in zip(images, _sixteen_bits(dataset), strict=True):
        with atomic_path(inside(folder, f"tiff/{image}")) as temporary:
            tifffile.imwrite(temporary, counts)
    project = inside(folder, f"{name}.pts")
    write_text(project, _pets_project(dataset, images, d_star_max_per_angstrom))
    return project


def write_smv(dataset: Dataset, folder: Path, *, prefix: str = "frame") -> list[Path]:
    """Write ``folder/prefix_00001.img`` …; returns their paths. Stepwise frames get the width of a step (as in NXmx).

    A series with a negative step is written with the axis turned round (see :func:`smv_axis`) and positive widths.
    """
    start, end, _ = scan_angles(
        mode=dataset.mode, alpha_start_deg=dataset.alpha_start_deg, alpha_end_deg=dataset.alpha_end_deg
    )
    sign = _direction(dataset)
    paths = []
    for index, counts in enumerate(_sixteen_bits(dataset)):
        path = inside(Path(folder), f"{prefix}_{index + 1:05d}.img")
        header = _smv_header(
            dataset,
            osc_start_deg=sign * float(start[index]),
            osc_range_deg=sign * float(end[index] - start[index]),
            exposure_s=float(dataset.exposure_s[index]),
        )
        write_bytes(path, header + counts.astype("<u2").tobytes())
        paths.append(path)
    return paths


def smv_axis(dataset: Dataset) -> tuple[float, float, float]:
    """Tilt axis in the frame that dxtbx gives SMV images (x fast, y against slow, z against the beam).

    For ``dials.import geometry.goniometer.axes=x,y,z``.
    """
    x, y, z = _direction(dataset) * tilt_axis_vector(dataset.microscope.projection.tilt_axis_deg)
    return float(x), -float(y), -float(z)


def angstrom_per_pixel(dataset: Dataset) -> float:
    """Reciprocal-space size of a pixel at the centre, Å⁻¹: pixel / (λ L)."""
    microscope = dataset.microscope
    length_px = microscope.projection.camera_length_mm * 1e3 / microscope.detector.pixel_size_um
    return 1.0 / (wavelength_angstrom(energy_kev=microscope.beam.energy_kev) * length_px)


def _direction(dataset: Dataset) -> float:
    start = dataset.alpha_start_deg
    turned = start[-1] - start[0] if len(start) > 1 else dataset.alpha_end_deg[0] - start[0]
    return -1.0 if turned < 0 else 1.0


def _sixteen_bits(dataset: Dataset) -> Iterator[NDArray[np.uint16]]:
    return (np.minimum(counts, 65535).astype(np.uint16) for counts in dataset.counts)


def _pets_project(dataset: Dataset, images: list[str], d_star_max_per_angstrom: float) -> str:
    microscope = dataset.microscope
    geometry = dataset.mode if dataset.mode in ("precession", "continuous") else "static"
    width_deg = float(np.median(np.abs(dataset.alpha_end_deg - dataset.alpha_start_deg)))
    phi_deg = dataset.precession_deg if dataset.mode == "precession" else 0.5 * width_deg
    lines = [
        f"lambda {wavelength_angstrom(energy_kev=microscope.beam.energy_kev):.6f}",
        f"geometry {geometry}",
        f"omega {-microscope.projection.tilt_axis_deg % 360.0:.4f}",
        f"phi {phi_deg:.5f}",
        f"aperpixel {angstrom_per_pixel(dataset):.8f}",
        f"noiseparameters {microscope.detector.counts_per_electron:.4f} 0.0000",
        f"center {microscope.projection.centre_fast_px + 1:.2f} {microscope.projection.centre_slow_px + 1:.2f}",
        "beamstop no",
        f"dstarmax {d_star_max_per_angstrom:.3f}",
        f"dstarmaxps {d_star_max_per_angstrom:.3f}",
        f"saturationlimit {min(microscope.detector.counter_max, 65534)}",
        "",
        "imagelist",
        *(f"tiff\\{image} {alpha:.4f} 0.0" for image, alpha in zip(images, dataset.alpha_mid_deg, strict=True)),
        "endimagelist",
    ]
    return "\n".join(lines) + "\n"


def _smv_header(dataset: Dataset, *, osc_start_deg: float, osc_range_deg: float, exposure_s: float) -> bytes:
    microscope = dataset.microscope
    projection, pixel_mm = microscope.projection, microscope.detector.pixel_size_um * 1e-3
    fields: dict[str, object] = {
        "HEADER_BYTES": _SMV_HEADER_BYTES,
        "DIM": 2,
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "SIZE1": microscope.detector.fast_px,
        "SIZE2": microscope.detector.slow_px,
        "PIXEL_SIZE": f"{pixel_mm:.6f}",
        "BIN": "1x1",
        "GAIN": "1.0",
        "TIME": f"{exposure_s:.6f}",
        "DISTANCE": f"{projection.camera_length_mm:.6f}",
        "WAVELENGTH": f"{wavelength_angstrom(energy_kev=microscope.beam.energy_kev):.9f}",
        "BEAM_CENTER_X": f"{(projection.centre_slow_px + 0.5) * pixel_mm:.6f}",
        "BEAM_CENTER_Y": f"{(projection.centre_fast_px + 0.5) * pixel_mm:.6f}",
        "PHI": f"{osc_start_deg:.6f}",
        "OSC_START": f"{osc_start_deg:.6f}",
        "OSC_RANGE": f"{osc_range_deg:.6f}",
    }
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in fields.items()) + "}\n"
    return text.encode("ascii").ljust(_SMV_HEADER_BYTES, b" ")
