"""Frozen values to JSON and back: bit-equal, and strict about everything else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.files.errors import InputError
from twin.files.json import canonical_json, from_json, parse_json, to_json
from twin.model.crystal import Cell
from twin.model.instrument import Microscope
from twin.model.specimen import Pose

_UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_POSE = Pose(
    index=3,
    rotation_start=_UNIT,
    rotation_end=_UNIT,
    precession_deg=1.2,
    exposure_s=0.5,
    shift_nm=(0.1, -0.2),
    centre_px=(255.5, 250.0),
)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_floats_come_back_bit_equal(values: list[float]) -> None:
    cell = Cell(a_angstrom=values[0], b_angstrom=values[1], c_angstrom=values[2])
    assert from_json(Cell, to_json(cell)) == cell


def test_nested_values_come_back(small_microscope: Microscope) -> None:
    assert from_json(Microscope, to_json(small_microscope)) == small_microscope
    assert from_json(Pose, to_json(_POSE)) == _POSE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_written(value: float) -> None:
    with pytest.raises(InputError, match="finite"):
        to_json(replace(_POSE, precession_deg=value))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"precession_deg": 1.2', '"precession_deg": NaN', "NaN"),
        ('"precession_deg": 1.2', '"precession_deg": 1e999', "1e999"),
        ('"precession_deg": 1.2', '"precession_deg": "1.2"', "precession_deg"),
        ('"precession_deg": 1.2', '"precession": 1.2', "precession"),
        ('"precession_deg": 1.2', '"precession_deg": 1.2, "index": 4', "'index' is given twice"),
        ('"index": 3', '"index": 3.5', "index"),
        ('"index": 3', '"index": true', "index"),
        ('"exposure_s": 0.5', '"exposure_s": null', "exposure_s"),
        ("{", "[", "JSON"),
    ],
)
def test_every_fault_is_a_sentence_with_its_key(old: str, new: str, words: str) -> None:
    text = to_json(_POSE)
    assert old in text
    with pytest.raises(InputError, match=words) as caught:
        from_json(Pose, text.replace(old, new, 1), source="pose.json")
    assert str(caught.value).startswith("pose.json")


@pytest.mark.parametrize(
    "text", ["", "{} {}", '{"a": 1}, {"a": 2}', "[" * 100_000, "\x00", "{'a': 1}", "__import__('os')"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="JSON"):
        parse_json(text)


def test_canonical_text_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [0.1, True, None]}) == canonical_json({"a": [0.1, True, None], "b": 1})
    assert canonical_json({"a": 0.1}) != canonical_json({"a": 0.10000000000000002})
