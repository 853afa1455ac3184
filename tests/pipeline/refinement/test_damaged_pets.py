"""Foreign .cif_pets files damaged in 500 ways: one sentence, or frames whose numbers are finite; never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.io.cif_pets import parse_cif_pets, zone_excitation
from pipeline.refinement.dynamical import refine_dynamical
from pipeline.refinement.frames import select_frames
from pipeline.refinement.measured import default_settings, series_of
from twin.files.errors import InputError
from twin.model.crystal import Cell, Crystal, Site

CRYSTAL = Crystal(
    name="x", cell=Cell(a_angstrom=4.9226, b_angstrom=4.9226, c_angstrom=5.4003, gamma_deg=120.0), hall='P 32 2"',
    sites=(Site(label="Si1", element="Si", fract=(0.0, 0.47, 0.83), u_iso_angstrom2=0.01),),
)  # fmt: skip
HEAD = """data_pets
_cell_length_a 4.9226
_cell_length_b 4.9226(3)
_cell_length_c 5.4003
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_diffrn_radiation_wavelength 0.02510
_diffrn_orient_matrix_UB_11 -0.07048
_diffrn_orient_matrix_UB_12 -0.02116
_diffrn_orient_matrix_UB_13  0.17811
_diffrn_orient_matrix_UB_21  0.22434
_diffrn_orient_matrix_UB_22  0.14328
_diffrn_orient_matrix_UB_23  0.05362
_diffrn_orient_matrix_UB_31 -0.02954
_diffrn_orient_matrix_UB_32  0.18790
_diffrn_orient_matrix_UB_33 -0.02054
_diffrn_measurement_details
;
data collection geometry: continuous rotation
;
# a comment
loop_
_diffrn_zone_axis_id
_diffrn_zone_axis_u
_diffrn_zone_axis_v
_diffrn_zone_axis_w
_diffrn_zone_axis_precession_angle
_diffrn_zone_axis_alpha
_diffrn_zone_axis_beta
_diffrn_zone_axis_omega
_diffrn_zone_axis_scale
 1 -1.00000  0.07564 -0.28404 1.000 -49.197 -0.130 0.287 0.748
 2 -1.00000  0.10206 -0.28473 1.000 -48.037 -0.210 0.164 0.788
 3 -1.00000  0.12510 -0.28591 1.000 -47.055 -0.230 0.249 0.700

loop_
_refln_index_h
_refln_index_k
_refln_index_l
_refln_intensity_meas
_refln_intensity_sigma
_refln_zone_axis_id
"""
JUNK = ("nan", "inf", "-inf", "1e999", "-1e300", "1e-320", "abc", "?", ".", "''", "0", "-1", "99999999999999999999",
        "1,5", "٣", "\x00", "loop_", "_cell_length_a", ";", "0x10", "1.2.3", "5(", "((")  # fmt: skip


def whole_text() -> str:
    """The head and, for each zone, the reflections near the sphere with some intensity."""
    rng = np.random.default_rng(5)
    hkl = np.array(list(np.ndindex(15, 15, 15))) - 7
    hkl = hkl[hkl.any(axis=1)]
    lines = []
    for zone in (1, 2, 3):
        rows = "".join(f"{h} {k} {m} 1.0 1.0 {zone}\n" for h, k, m in hkl.tolist())
        s, length = zone_excitation(parse_cif_pets(HEAD + rows, source="x"))
        for h, k, m in hkl[(np.abs(s) < 0.01) & (length < 1.4)].tolist():
            i = float(rng.gamma(0.7) * 500.0)
            lines.append(f"{h:4d}{k:4d}{m:4d}{i:12.2f}{1.0 + 0.05 * i:12.2f}{zone:6d}")
    return HEAD + "\n".join(lines) + "\n"


TEXT = whole_text()


def damaged(text: str, rng: np.random.Generator) -> str:
    """One to three damages of a random kind at random places; the head is hit as often as the long list below it."""
    for _ in range(int(rng.integers(1, 4))):
        lines = text.split("\n")
        top = min(len(lines), 50) if rng.random() < 0.7 else len(lines)
        at = int(rng.integers(0, max(top, 1)))
        text = DAMAGES[int(rng.integers(len(DAMAGES)))](lines, at, rng)
    return text


def _replace_word(lines: list[str], at: int, rng: np.random.Generator) -> str:
    words = lines[at].split()
    if words:
        words[int(rng.integers(len(words)))] = JUNK[int(rng.integers(len(JUNK)))]
    return "\n".join([*lines[:at], " ".join(words), *lines[at + 1 :]])


def _drop(lines: list[str], at: int, rng: np.random.Generator) -> str:
    return "\n".join(lines[:at] + lines[at + 1 + int(rng.integers(0, 4)) :])


def _cut(lines: list[str], at: int, rng: np.random.Generator) -> str:
    return "\n".join([*lines[:at], lines[at][: int(rng.integers(0, len(lines[at]) + 1))]])


def _twice(lines: list[str], at: int, rng: np.random.Generator) -> str:
    return "\n".join([*lines[: at + 1], *lines[max(0, at - int(rng.integers(0, 6))) :]])


def _swap(lines: list[str], at: int, rng: np.random.Generator) -> str:
    other = int(rng.integers(len(lines)))
    lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines)


def _noise(lines: list[str], at: int, rng: np.random.Generator) -> str:
    place = int(rng.integers(0, len(lines[at]) + 1))
    character = chr(int(rng.integers(1, 256)))
    return "\n".join([*lines[:at], lines[at][:place] + character + lines[at][place + 1 :], *lines[at + 1 :]])


Damage = Callable[[list[str], int, np.random.Generator], str]
DAMAGES: tuple[Damage, ...] = (_replace_word, _replace_word, _drop, _cut, _twice, _swap, _noise)


def read_it(text: str) -> int:
    """Number of frames that a refinement would get."""
    series = series_of(parse_cif_pets(text, source="x.cif_pets"), source="x.cif_pets")
    for array in (series.orientation.rotation, series.orientation.ub, series.reflections.excitation_error_per_angstrom):
        assert np.all(np.isfinite(array))
    frames = select_frames(
        orientation=series.orientation, reflections=series.reflections,
        settings=default_settings(series, CRYSTAL), hall=CRYSTAL.hall,
    )  # fmt: skip
    for frame in frames:
        assert np.all(np.isfinite(frame.intensity))
        assert np.all(np.isfinite(frame.weights))
    return len(frames)


def test_the_whole_file_gives_three_frames() -> None:
    assert read_it(TEXT) == 3


@pytest.mark.parametrize("tenth", range(10))
def test_damaged_files_end_in_a_sentence_or_in_finite_frames(tenth: int) -> None:
    refused: list[str] = []
    for number in range(50):
        text = damaged(TEXT, np.random.default_rng(50 * tenth + number))
        try:
            read_it(text)
        except InputError as error:
            refused.append(str(error).strip())
    assert len(refused) > 10
    assert all("\n" not in sentence and len(sentence) < 400 for sentence in refused)


def test_what_is_read_from_damaged_files_refines_to_finite_figures_or_a_sentence() -> None:
    """Kinematically, two cycles: no NaN in what a table would show."""
    done, refused = 0, [""]
    for number in range(150):
        text = damaged(TEXT, np.random.default_rng(1000 + number))
        try:
            series = series_of(parse_cif_pets(text, source="x.cif_pets"), source="x.cif_pets")
            settings = replace(
                default_settings(series, CRYSTAL), kinematical=True, max_cycles=2, steps=8, hold_out_every=0,
                thickness_nm=20.0,
            )  # fmt: skip
            found = refine_dynamical(
                model=CRYSTAL, orientation=series.orientation, reflections=series.reflections, settings=settings
            )
        except InputError as error:
            refused.append(str(error).strip())
            continue
        done += 1
        shown = (found.r_obs_percent, found.r_all_percent, found.wr_all_percent, found.gof_obs, found.thickness_nm)
        assert all(x is not None and np.isfinite(x) for x in shown), number
        assert np.all(np.isfinite(found.f_calc)), number
        assert all(np.isfinite(x) for x in found.standard_uncertainties.values()), number
    assert done > 5
    assert all("\n" not in sentence for sentence in refused)
