"""A PETS project file (.pts): settings, and the list of images with their angles.

Keys as in published projects: ``lambda`` (Å), ``aperpixel`` (Å⁻¹), ``omega`` (degrees, −ours), ``phi`` (half of the
rotation of a frame, or the precession semi-angle), ``center`` (counted from 1), ``geometry``, ``imagelist``.
The list gives α in the middle of each frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.io.series.images import as_counts, number, read_bytes, read_tiff
from pipeline.io.series.nominal import Counts, Nominal, RawSeries
from twin.files.errors import InputError
from twin.model.plan import Mode

PIXEL_UM = 55.0  # a project does not say the pixel; only the product with the camera length matters
_MODES: dict[str, Mode] = {"continuous": "continuous", "precession": "precession", "static": "stills"}


def parse_project(text: str, *, source: Path) -> tuple[dict[str, list[str]], list[tuple[str, float]]]:
    """Keys with their words (lower case), and (image, α in degrees) of every frame that is to be used."""
    keys: dict[str, list[str]] = {}
    images: list[tuple[str, float]] = []
    listing = False
    for line in text.splitlines():
        words = line.strip().strip('"').split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() in ("imagelist", "endimagelist"):
            listing = words[0].lower() == "imagelist"
        elif listing:
            if len(words) < 2:
                raise InputError(f"{source}: '{line.strip()[:60]}' in the imagelist has no angle")
            images.append((words[0].replace("\\", "/"), number(words[1], key="alpha", source=source)))
        else:
            keys[words[0].lower()] = words[1:]
    return keys, images


def _setting(keys: dict[str, list[str]], key: str, source: Path, word: int = 0) -> float | None:
    if key not in keys or len(keys[key]) <= word or keys[key][word].lower() == "auto":
        return None
    return number(keys[key][word], key=key, source=source)


def project_nominal(keys: dict[str, list[str]], *, source: Path) -> Nominal:
    """Settings of a project in our conventions."""
    wavelength, scale = _setting(keys, "lambda", source), _setting(keys, "aperpixel", source)
    omega, phi = _setting(keys, "omega", source), _setting(keys, "phi", source)
    word = (keys.get("geometry") or ["continuous"])[0].lower()
    if word not in _MODES:
        raise InputError(f"{source}: geometry is '{word}'; allowed are {', '.join(_MODES)}")
    mode = _MODES[word]
    x, y = _setting(keys, "center", source), _setting(keys, "center", source, 1)
    full = _setting(keys, "saturationlimit", source)
    if wavelength is not None and scale is not None and not (wavelength > 0 and scale > 0):
        raise InputError(f"{source}: lambda {wavelength:g} and aperpixel {scale:g} must be positive")
    return Nominal(
        wavelength_angstrom=wavelength,
        camera_length_mm=PIXEL_UM * 1e-3 / (wavelength * scale) if wavelength and scale else None,
        pixel_size_um=PIXEL_UM,
        centre_fast_px=None if x is None else x - 1.0,
        centre_slow_px=None if y is None else y - 1.0,
        tilt_axis_deg=None if omega is None else -omega,
        mode=mode,
        precession_deg=phi if mode == "precession" else None,
        counter_max=None if full is None else int(full),
    )


def read_project(path: Path) -> RawSeries:
    """The series of a project; every image of the list must be there."""
    keys, images = parse_project(read_bytes(path).decode("latin-1"), source=path)
    if not images:
        raise InputError(f"{path}: the imagelist is empty or missing")
    found = project_nominal(keys, source=path)
    frames: list[Counts] = []
    for name, _ in images:
        counts = read_tiff(path.parent / name)[0]
        if frames and counts.shape != frames[0].shape:
            raise InputError(f"{path.parent / name}: {counts.shape[1:]} px, the images before have another size")
        frames.append(counts)
    alpha = np.array([a for _, a in images])
    half = _setting(keys, "phi", path) or 0.0
    if found.mode == "continuous" and half == 0.0 and len(alpha) > 1:
        half = 0.5 * abs(float(np.median(np.diff(alpha))))
    sign = -1.0 if len(alpha) > 1 and alpha[-1] < alpha[0] else 1.0
    turn = sign * half if found.mode == "continuous" else 0.0
    return RawSeries(
        counts=as_counts(np.concatenate(frames), source=path),
        found=found,
        source=path,
        alpha_start_deg=alpha - turn,
        alpha_end_deg=alpha + turn,
    )
