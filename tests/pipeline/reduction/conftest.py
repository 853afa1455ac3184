"""One small series with known truth, made and reduced once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.reduction.reduce import ReducedSeries, reduce_series


def _load() -> ModuleType:
    name = "edtwin_tests_reduction_synthetic"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("synthetic.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return _load()


@pytest.fixture(scope="session")
def made(synthetic):
    """Brookite, 30 frames of 2 degrees; the nominal axis is 19 degrees off and of the wrong sense."""
    from dataclasses import replace

    series = synthetic.make_series(
        crystal=synthetic.BROOKITE, frames=30, diameter_angstrom=150.0, size_px=320, per_px=0.0115, seed=11, g_max=1.5
    )
    d = series.dataset
    p = replace(d.microscope.projection, tilt_axis_deg=d.microscope.projection.tilt_axis_deg + 180.0 - 19.0)
    return replace(series, dataset=replace(d, microscope=replace(d.microscope, projection=p)))


@pytest.fixture(scope="session")
def reduced(made) -> ReducedSeries:
    return reduce_series(dataset=made.dataset)
