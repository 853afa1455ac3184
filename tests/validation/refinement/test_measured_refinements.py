"""Published figures that our code must reach on measured data; short here, in full with the slow tests."""

from __future__ import annotations

import numpy as np
import pytest

from validation.refinement.agreement import UREA_CIF, compare_urea
from validation.refinement.measured import CASES, case_rows
from validation.refinement.published import data_folder, read_jana_list
from validation.refinement.report import grouped_r, normal_quantiles

FOLDER = data_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="no measured data (EDTWIN_REALDATA, ../shared/realdata)")


def test_jana_list_has_the_published_r_factor() -> None:
    """R(obs) 8.15 % of 1368 of 2663 reflections, as the CIF says."""
    assert FOLDER is not None
    found = read_jana_list(FOLDER / UREA_CIF)
    observed = found.measured > 3 * found.sigma
    f_obs, f_calc = (np.sqrt(np.clip(i, 0, None)) for i in (found.measured, found.calculated))
    assert len(found.hkl) == 2663
    assert observed.sum() == 1368
    assert 100 * np.abs(f_obs - f_calc)[observed].sum() / f_obs[observed].sum() == pytest.approx(8.15, abs=0.01)


def test_urea_agrees_with_dyngo_on_three_frames() -> None:
    assert FOLDER is not None
    assert compare_urea(FOLDER, every=24).r_dyngo_percent < 2.2


@pytest.mark.slow
def test_urea_agrees_with_dyngo_on_all_frames() -> None:
    assert FOLDER is not None
    found = compare_urea(FOLDER)
    assert found.r_dyngo_percent < 1.8
    assert found.r_obs_percent < 8.3


@pytest.mark.slow
def test_dynamical_quartz_beats_kinematical_also_on_frames_held_out() -> None:
    assert FOLDER is not None
    weak, full = (case_rows(case, FOLDER, quick=True) for case in CASES[:2])
    assert full[0].r_obs_percent < 0.7 * weak[0].r_obs_percent
    ranges = grouped_r(full[0], full[0].f_obs, groups=4)
    assert sum(n for _, n, _, _ in ranges) == full[0].reflections_all
    expected, found = normal_quantiles(full[0])
    assert np.corrcoef(expected, found)[0, 1] > 0.9
