"""Crystals that the physics tests share."""

from __future__ import annotations

import pytest

from twin.model.crystal import Crystal
from validation import reference


@pytest.fixture(scope="session")
def in2o3() -> Crystal:
    """Centrosymmetric, body-centred, large cell."""
    return reference.IN2O3


@pytest.fixture(scope="session")
def quartz() -> Crystal:
    """Non-centrosymmetric, right-handed axes."""
    return reference.QUARTZ
