"""The study's figures for the rows of Tables 1 to 4 (ACS Nano 2025, 19, 20599)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """r: R(obs) in % averaged, non-averaged, frame-based, dynamical. r_int in %. mean, largest: deviations in Å after
    the kinematical and the dynamical refinement. None: not given."""

    r: tuple[float | None, float | None, float | None, float | None]
    r_int: float
    mean: tuple[float | None, float | None] = (None, None)
    largest: tuple[float | None, float | None] = (None, None)


NOTHING = Published(r=(None, None, None, None), r_int=float("nan"))
STUDY: Mapping[str, Published] = {
    "ito-01": Published(r=(7.9, 10.1, 8.5, 6.4), r_int=13.8, largest=(0.0314, 0.0081)),
    "ito-02": Published(r=(6.1, 8.3, 7.3, 4.7), r_int=8.8, largest=(0.0189, 0.0086)),
    "ito-03": Published(r=(7.77, None, None, None), r_int=9.3, largest=(0.0351, None)),
    "anatase": Published(r=(10.92, None, None, 3.59), r_int=22.7, largest=(0.0291, 0.0136)),
    "brookite-cnrs-01": Published(
        r=(17.03, None, None, 6.63), r_int=16.2, mean=(0.0108, 0.0079), largest=(0.0162, 0.0127)
    ),
    "brookite-cnrs-02": Published(
        r=(18.52, None, None, 7.68), r_int=16.8, mean=(0.0132, 0.0079), largest=(0.0224, 0.0113)
    ),
    "brookite-cnrs-03": Published(
        r=(17.32, None, None, 6.70), r_int=12.0, mean=(0.0323, 0.0097), largest=(0.0388, 0.0137)
    ),
    "brookite-cnrs-04": Published(
        r=(19.53, None, None, 6.48), r_int=16.2, mean=(0.0474, 0.0103), largest=(0.0798, 0.0132)
    ),
    "brookite-iit": Published(
        r=(14.75, None, None, 6.48), r_int=17.0, mean=(0.0185, 0.0063), largest=(0.0318, 0.0077)
    ),
    "brookite-ua": Published(r=(14.9, None, None, 5.56), r_int=10.7, mean=(0.0442, 0.0064), largest=(0.0917, 0.007)),
    "mgti2o5": Published(r=(10.74, None, None, 6.86), r_int=float("nan")),
}
GAP_POINTS = 2.1  # Table 3: frame-based minus dynamical, ITO-01
RATIO_BROOKITE = 17.03 / 6.63  # CNRS-01
RANDOM_DROPS = (10.92 - 10.74, 7.74 - 6.86)  # Table 4, R(obs) lost by a random distribution: kinematical, dynamical
OCCUPANCY_SU_RATIO = 0.008 / 0.02  # Table 4, Ti on M1
