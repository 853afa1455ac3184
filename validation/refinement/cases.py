"""Measured series that are refined, each with its published refinement to stand beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from validation.refinement.agreement import UREA_CIF, UREA_PETS

QUARTZ_CIF, ALBITE_CIF = "quartz_pets/quartz_P3221_reference.cif", "albite/jana2006_albite.cif"
ALBITE_PETS = "albite/pets2_albite.cif_pets"
QUARTZ_PETS, QUARTZ_DIALS = "quartz_pets/quartz_exp_data.cif_pets", "quartz_dials/dials_dyn.cif_pets"
AS_DIFFBLOCH = {
    "g_max_per_angstrom": 2.0, "r_s_g_max": 0.9, "steps": 42, "mosaic_blocks": 1, "mosaicity_deg": 0.0,
    "refine_mosaicity": False,
}  # fmt: skip
AS_JANA = {"g_max_per_angstrom": 2.1, "r_s_g_max": 0.7, "d_s_g_min_per_angstrom": 0.0}
COARSE = {"steps": 36}  # of 0.06°: enough for the 60 nm of albite


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A measured series with its published refinement. goal, peer_value: R(obs) in percent.

    settings: changes of those that `edtwin refine --data` takes. every: only every n-th frame of the series is used.
    uncertainties: CIF with s.u.s of the published coordinates. mean_goal_angstrom: of the mean distance of the atoms
    from the published structure. published_list: only the reflections that the published refinement kept.
    other_hand: refine the other hand in the same way too. extinction: say what an extinction parameter would change.
    """

    id: str
    title: str
    data: str
    model: str
    uncertainties: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    every: int = 1
    peer: str = ""
    peer_value: float | None = None
    goal: float | None = None
    mean_goal_angstrom: float | None = None
    published_list: bool = False
    other_hand: bool = False
    extinction: bool = False


_QUARTZ = Case(
    id="quartz-pets",
    title="quartz (PETS2), dynamical",
    data=QUARTZ_PETS,
    model=QUARTZ_CIF,
    settings=AS_DIFFBLOCH,
    peer="diffBloch 0.2.0, thickness by orientation",
    peer_value=5.06,
    goal=4.5,
    other_hand=True,
)
_UREA = Case(
    id="urea",
    title="urea, dynamical",
    data=UREA_PETS,
    model=UREA_CIF,
    uncertainties=UREA_CIF,
    settings=AS_JANA,
    peer="Jana2020",
    peer_value=8.15,
    goal=8.0,
    published_list=True,
)
CASES = (
    _QUARTZ,
    Case(
        id="albite",
        title="albite, dynamical",
        data=ALBITE_PETS,
        model=ALBITE_CIF,
        uncertainties=ALBITE_CIF,
        settings=COARSE,
        peer="Jana2020, three crystals",
        peer_value=9.31,
        goal=9.3,
        mean_goal_angstrom=0.01,
    ),
    Case(
        id="albite-kinematical",
        title="albite, kinematical on the same frames",
        data=ALBITE_PETS,
        model=ALBITE_CIF,
        uncertainties=ALBITE_CIF,
        settings={**COARSE, "kinematical": True},
        peer="Jana2006, averaged data, with extinction",
        peer_value=14.82,
        goal=14.8,
        extinction=True,
    ),
    replace(
        _QUARTZ,
        id="quartz-pets-frames",
        title="quartz (PETS2), a thickness for each frame, dynamical",
        settings={**AS_DIFFBLOCH, "thickness_per_frame": True},
    ),
    _UREA,
    replace(
        _UREA,
        id="urea-frames",
        title="urea, a thickness for each frame, dynamical",
        settings={**AS_JANA, "thickness_per_frame": True},
    ),
    Case(
        id="quartz-dials",
        title="quartz (DIALS), dynamical",
        data=QUARTZ_DIALS,
        model=QUARTZ_CIF,
        settings=AS_DIFFBLOCH,
    ),
    Case(
        id="quartz-pets-kinematical",
        title="quartz (PETS2), kinematical on the same frames",
        data=QUARTZ_PETS,
        model=QUARTZ_CIF,
        settings={**AS_DIFFBLOCH, "kinematical": True},
    ),
)
