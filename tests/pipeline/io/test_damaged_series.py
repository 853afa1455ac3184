"""5000 damaged frame files: none is read wrong in silence where sums lie beside the frames, and without sums a loud
warning comes with whatever is read."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from pathlib import Path

import fabio
import numpy as np
import pytest
import tifffile

from pipeline.io.series.nominal import Nominal
from pipeline.io.series.read import read_series
from twin.files.errors import InputError

GIVEN = Nominal(
    wavelength_angstrom=0.025079, camera_length_mm=300.0, pixel_size_um=55.0, tilt_axis_deg=31.0,
    alpha_start_deg=-3.0, step_deg=0.5, mode="continuous",
)  # fmt: skip
NAMES = {"tiff": "f_1.tif", "smv": "f_1.img", "mrc": "f_1.mrc", "cbf": "f_1.cbf"}
KINDS = ("cut", "bit", "bits in the head", "zeroed block", "doubled block", "empty", "noise", "tail")
PIXELS = ("nan", "infinite", "negative", "saturated", "fraction")


def _write(path: Path, counts: np.ndarray) -> None:
    if path.suffix == ".tif":
        tifffile.imwrite(path, counts)
    elif path.suffix == ".cbf":
        fabio.cbfimage.CbfImage(data=counts.astype(np.int32)).write(str(path))
    elif path.suffix == ".mrc":
        header = bytearray(1024)
        header[:16] = struct.pack("<4i", counts.shape[1], counts.shape[0], 1, 6)
        header[208:212] = b"MAP "
        header[212:216] = bytes([68, 68, 0, 0])
        path.write_bytes(bytes(header) + counts.astype("<u2").tobytes())
    else:
        text = (
            f"{{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1={counts.shape[1]};\n"
            f"SIZE2={counts.shape[0]};\nPIXEL_SIZE=0.055;\nWAVELENGTH=0.025079;\nDISTANCE=300.0;\n"
            f"OSC_START=-3.0;\nOSC_RANGE=0.5;\nPHI=-3.0;\n}}\n"
        )
        path.write_bytes(text.encode().ljust(512, b" ") + counts.astype("<u2").tobytes())


def _damaged(whole: bytes, kind: str, rng: np.random.Generator) -> bytes:
    body, size = bytearray(whole), len(whole)
    start = int(rng.integers(max(size - 64, 1)))
    if kind == "cut":
        return whole[: int(rng.integers(1, size))]
    if kind == "bit":
        body[int(rng.integers(size))] ^= 1 << int(rng.integers(8))
    elif kind == "bits in the head":
        for _ in range(4):
            body[int(rng.integers(min(size, 600)))] ^= 1 << int(rng.integers(8))
    elif kind == "zeroed block":
        body[start : start + 64] = bytes(64)
    elif kind == "doubled block":
        body[start:start] = body[start : start + 64]
    elif kind == "empty":
        return b""
    elif kind == "noise":
        body[start : start + 64] = rng.bytes(64)
    else:
        body += rng.bytes(32)
    return bytes(body)


def _image(rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(5.0, size=(20, 24)).astype(np.uint16)


def _trial(path: Path, truth: np.ndarray) -> str:
    """'refused' (in a sentence), 'right' (nothing lost), 'warned', or 'silent': other counts and no word about it."""
    said: list[str] = []
    try:
        found = read_series(path, nominal=GIVEN, warn=said.append)
    except InputError as error:
        return "refused" if 10 < len(str(error)) < 600 else f"refused with {error}"
    assert np.all(np.isfinite(found.counts))
    if found.counts.shape == (1, *truth.shape) and np.array_equal(found.counts[0], truth):
        return "right"
    return "warned" if said else "silent"


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_no_damage_is_silent(tmp_path: Path, name: str, sealed: bool) -> None:
    """8 × 600 damaged files."""
    rng = np.random.default_rng([len(name), sealed])
    path, truth = tmp_path / NAMES[name], _image(rng)
    _write(path, truth)
    whole = path.read_bytes()
    if sealed:
        (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(whole).hexdigest()}  {path.name}\n")
    assert _trial(path, truth) == "right"
    outcome: Counter[str] = Counter()
    for n in range(600):
        damaged = _damaged(whole, KINDS[n % len(KINDS)], rng)
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        outcome[_trial(path, truth)] += 1
    assert outcome["silent"] == 0, outcome
    if sealed:
        assert set(outcome) == {"refused"}, outcome


@pytest.mark.slow
@pytest.mark.parametrize("kind", PIXELS)
def test_impossible_pixels(tmp_path: Path, kind: str) -> None:
    """5 × 40 images with values that no detector counts, in files that are whole."""
    rng = np.random.default_rng(PIXELS.index(kind))
    path = tmp_path / "f_1.tif"
    value = {"nan": np.nan, "infinite": np.inf, "negative": -3.0, "saturated": 65535.0, "fraction": 0.5}[kind]
    for _ in range(40):
        image = _image(rng).astype(np.float32)
        image.flat[rng.integers(image.size, size=int(rng.integers(1, 9)))] = value
        tifffile.imwrite(path, image)
        if kind == "saturated":
            found = read_series(path, nominal=GIVEN, warn=lambda said: None)
            assert np.array_equal(found.counts[0], image)
            assert found.microscope.detector.counter_max <= 65535
        else:
            with pytest.raises(InputError):
                read_series(path, nominal=GIVEN, warn=lambda said: None)
