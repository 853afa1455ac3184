"""A reduction that knew the centring lists no reflection that it forbids: the solver must not take them for missing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.solution.spots import CENTRINGS, centring_allows, unlisted_centring

HKL = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("name", list(CENTRINGS))
def test_class_that_is_never_listed_gives_the_centring(name):
    rng = np.random.default_rng(2)
    measured = centring_allows(HKL, name) & (rng.random(len(HKL)) < 0.8)
    assert unlisted_centring(HKL, measured) == name


def test_one_listed_reflection_of_the_class_is_enough_to_leave_it_to_the_intensities():
    measured = centring_allows(HKL, "I")
    measured[np.flatnonzero(~measured)[0]] = True
    assert unlisted_centring(HKL, measured) == "P"
