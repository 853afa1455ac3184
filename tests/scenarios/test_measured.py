"""Options of `edtwin refine --data`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.refinement.settings import DynamicalSettings
from scenarios.measured.options import override, treatments_of
from scenarios.measured.run import read_model, refine_measured
from twin.files.errors import InputError


def test_keys_take_values_of_their_kind() -> None:
    found = override(
        DynamicalSettings(),
        ["steps=96", "thickness_scan_nm=5,80", "thickness_nm=none", "refine_mosaicity=yes", "thickness_model=slab"],
    )
    assert found.steps == 96
    assert found.thickness_scan_nm == (5.0, 80.0)
    assert found.thickness_nm is None
    assert found.refine_mosaicity
    assert found.thickness_model == "slab"


@pytest.mark.parametrize(
    "text", ["steps", "steps=many", "mode=stills", "thickness_model=cone", "refine_mosaicity=perhaps", "g_max=1",
             "steps=0", "thickness_scan_nm=5", "mosaicity_deg=nan", "hold_out_every=1", "s_g_max_per_angstrom=-1"],
)  # fmt: skip
def test_absurd_options_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError) as caught:
        override(DynamicalSettings(), [text])
    assert "\n" not in str(caught.value)


def test_both_treatments_unless_one_is_named() -> None:
    assert treatments_of(kinematical=False, dynamical=False) == ("kinematical", "dynamical")
    assert treatments_of(kinematical=True, dynamical=True) == ("kinematical", "dynamical")
    assert treatments_of(kinematical=True, dynamical=False) == ("kinematical",)
    assert treatments_of(kinematical=False, dynamical=True) == ("dynamical",)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.cif_pets"):
        refine_measured(
            data=tmp_path / "x.cif_pets", model=tmp_path / "y.cif", folder=tmp_path / "run", treatments=("kinematical",)
        )
    with pytest.raises(InputError, match=r"y\.res"):
        read_model(tmp_path / "y.res")
    assert not (tmp_path / "run").exists()
