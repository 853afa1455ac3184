"""Stage types come back from disk bit-equal, and a damaged file is never read as something else."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest

from pipeline.types import Orientation, Peaks, Solution
from scenarios.build import nominal_microscope
from scenarios.load import load_scenario
from scenarios.persist import holds_key, load_json, load_npz, save_json, save_npz
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site


def _orientation() -> Orientation:
    rng = np.random.default_rng(3)
    return Orientation(
        cell=Cell(a_angstrom=9.174, b_angstrom=5.449, c_angstrom=5.138),
        ub=rng.normal(size=(3, 3)),
        rotation=rng.normal(size=(4, 3, 3)),
        centre_px=rng.normal(size=(4, 2)),
        microscope=nominal_microscope(load_scenario("ito-01").scenario),
        indexed=np.array([True, False, True, True]),
        hall="-P 2 2",
        centring="P",
        indexed_peaks_fraction=1 / 3,
        notes=("the sense of rotation is positive",),
    )


def _peaks(count: int = 200) -> Peaks:
    rng = np.random.default_rng(4)
    fast, slow, intensity, sigma = rng.normal(size=(4, count))
    return Peaks(frame=rng.integers(0, 9, count), fast_px=fast, slow_px=slow, intensity=intensity, sigma=sigma)


def _same(a: object, b: object) -> bool:
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)]  # type: ignore[arg-type]
    return all(
        x.dtype == y.dtype and np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs
    )


def test_round_trips_are_bit_equal(tmp_path: Path) -> None:
    save_json(tmp_path / "o.json", _orientation())
    assert _same(_orientation(), load_json(Orientation, tmp_path / "o.json"))
    save_npz(tmp_path / "o.npz", _orientation())
    assert _same(_orientation(), load_npz(Orientation, tmp_path / "o.npz"))
    save_npz(tmp_path / "p.npz", _peaks(0))
    assert _same(_peaks(0), load_npz(Peaks, tmp_path / "p.npz"))


@pytest.mark.parametrize("density", [None, np.arange(24.0).reshape(2, 3, 4)])
def test_optional_parts_come_back_as_they_were(tmp_path: Path, density: np.ndarray | None) -> None:
    site = Site(label="O1", element="O", fract=(0.1, 0.2, 1 / 3))
    crystal = Crystal(name="x", cell=Cell(a_angstrom=1, b_angstrom=2, c_angstrom=3), hall="-P 1", sites=(site,))
    for model in (None, crystal):
        solution = Solution(
            solved=model is not None, crystal=model, space_group="P -1", candidates=(("P -1", 0.1),), residual=0.2,
            verdict="solved", density=density,
        )  # fmt: skip
        save_npz(tmp_path / "s.npz", solution)
        assert _same(solution, load_npz(Solution, tmp_path / "s.npz"))


def test_the_same_value_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_npz(tmp_path / name, _peaks(), key="k")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_damage_is_never_silent(tmp_path: Path) -> None:
    """Bit flips and truncation: an InputError, or (in bytes that carry nothing) the same value."""
    path = tmp_path / "p.npz"
    save_npz(path, _peaks(), key="k")
    whole, rng = path.read_bytes(), random.Random(5)
    refused = 0
    for case in range(150):
        data = bytearray(whole)
        if case % 3:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(bytes(data))
        try:
            value = load_npz(Peaks, path)
        except InputError:
            refused += 1
        else:
            assert _same(value, _peaks())
    assert refused > 100


def test_a_part_is_known_by_its_key(tmp_path: Path) -> None:
    save_npz(tmp_path / "p.npz", _peaks(), key="a" * 64)
    assert holds_key(tmp_path / "p.npz", "a" * 64)
    assert not holds_key(tmp_path / "p.npz", "b" * 64)
    assert not holds_key(tmp_path / "none.npz", "a" * 64)
    (tmp_path / "p.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:500])
    assert not holds_key(tmp_path / "p.npz", "a" * 64)


def test_another_type_is_refused(tmp_path: Path) -> None:
    save_npz(tmp_path / "p.npz", _peaks())
    with pytest.raises(InputError, match="must hold exactly"):
        load_npz(Solution, tmp_path / "p.npz")
