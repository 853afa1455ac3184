"""What the series with a known truth suffer from."""

from __future__ import annotations

from dataclasses import dataclass, field

from validation.reduction.lens import Lens


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """``strong_counts``: of the twentieth strongest reflection, whole rocking curve; ``background``: counts of a pixel
    between the spots, about. Standard deviations: of the turn of a frame about each axis, of its centre, of the
    logarithm of its scale; ``drift_px``: of the centre from the first frame to the last."""

    name: str
    size_nm: float
    strong_counts: float
    background: float
    ellipse_percent: float = 0.0
    jitter_deg: float = 0.0
    centre_jitter_px: float = 0.0
    drift_px: float = 0.0
    scale_sd: float = 0.0
    axis_error_deg: float = 0.0
    lens: Lens = field(default_factory=Lens)
    crystal: str = "In2O3"
    frames: int = 480
    step_deg: float = 0.25
    seed: int = 4


IDEAL = Conditions(name="ideal", size_nm=40.0, strong_counts=20000.0, background=1.0)
HARD = Conditions(
    name="hard",
    size_nm=25.0,
    strong_counts=8000.0,
    background=2.0,
    ellipse_percent=0.5,
    jitter_deg=0.05,
    centre_jitter_px=0.3,
    drift_px=3.0,
    scale_sd=0.15,
    axis_error_deg=17.0,
)
WEAK = Conditions(name="weak", size_nm=40.0, strong_counts=400.0, background=2.0)
DISTORTED = Conditions(
    name="distorted",
    size_nm=30.0,
    strong_counts=20000.0,
    background=2.0,
    ellipse_percent=1.5,
    lens=Lens(axis_px=(44.0, 37.0), barrel_percent=1.5, spiral_percent=-1.0, trefoil_percent=0.15),
    jitter_deg=0.02,
    centre_jitter_px=0.2,
    axis_error_deg=1.0,
    crystal="brookite",
    frames=220,
    step_deg=0.5,
    seed=5,
)
