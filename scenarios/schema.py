"""The scenario as a strict value: every key that a TOML file may hold, its unit, and its bounds.

Unknown keys, wrong types, NaN and infinities are refused; bounds are those of instruments and particles that exist,
with a margin. ``scenarios.load`` turns a refusal into one sentence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from pipeline.solution import options as flipping
from pipeline.solution.options import Missing, Normalisation, Repeat
from scenarios.study import Strict, Study, Text

MAX_FRAMES = 2000
MAX_PIXELS = 1_000_000_000  # of a whole series: 4 GB of expected frames
FORMULA = r"([A-Z][a-z]?[0-9]*(\.[0-9]+)?\s*)+"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._, ()-]{0,63}$")]
Formula = Annotated[str, StringConstraints(pattern=rf"^{FORMULA}$", max_length=80)]
Angle = Annotated[float, Field(ge=-360.0, le=360.0)]
ElementSymbol = Annotated[str, StringConstraints(pattern="^[A-Z][a-z]?$")]
DisplacementU = Annotated[float, Field(ge=0, le=0.5)]
Size = Annotated[float, Field(gt=0, le=1000)]
MillerIndex = Annotated[int, Field(ge=-50, le=50)]
CellLength = Annotated[float, Field(ge=1, le=100)]
CellAngle = Annotated[float, Field(ge=30, le=150)]
LaueClass = Literal["-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m1", "-31m", "6/m", "6/mmm", "m-3", "m-3m"]
Vector3 = Annotated[tuple[float, float, float], Field(strict=False)]


class Material(Strict):
    """The true crystal, and what a laboratory knows of it (the composition).

    ``cif`` is relative to the file that names it. ``u_scale`` multiplies every displacement parameter of the CIF,
    ``u_iso_angstrom2`` then replaces those of the elements that it names (cold stages).
    """

    name: Name
    cif: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    composition: Formula
    expect_formula: Formula | None = None
    temperature_k: float = Field(default=293.0, ge=1, le=2000)
    u_scale: float = Field(default=1.0, ge=0.05, le=20)
    u_iso_angstrom2: dict[ElementSymbol, DisplacementU] = Field(default_factory=dict)


class FaceTable(Strict):
    """A form of faces of a Wulff polyhedron: {hkl} with all its images, and its surface energy against the others."""

    hkl: Annotated[tuple[MillerIndex, MillerIndex, MillerIndex], Field(strict=False)]
    energy: float = Field(gt=0, le=1000)


class ParticleTable(Strict):
    """Shape and how it sits on the support at tilt 0."""

    shape: Literal["sphere", "ellipsoid", "rod", "box", "polyhedron"]
    size_nm: Vector3
    faces: tuple[FaceTable, ...] = Field(default=(), max_length=32, strict=False)
    axis_uvw: Vector3 = (0.0, 0.0, 1.0)
    mounting: Literal["random", "lying", "fixed"] = "random"
    mounting_euler_deg: Annotated[tuple[Angle, Angle, Angle], Field(strict=False)] = (0.0, 0.0, 0.0)  # z, x, z
    mosaicity_deg: float = Field(default=0.0, ge=0, le=5)
    bending_deg_per_nm: float = Field(default=0.0, ge=-1, le=1)

    @field_validator("size_nm")
    @classmethod
    def _sizes(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(0.5 <= v <= 500 for v in value):
            raise ValueError("each size must lie between 0.5 and 500 nm")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shape == "sphere" and len(set(self.size_nm)) != 1:
            raise ValueError("a sphere has three equal sizes")
        if (self.shape == "polyhedron") != bool(self.faces):
            raise ValueError("a polyhedron needs faces, and no other shape has them")
        if self.shape == "polyhedron" and len(set(self.size_nm)) != 1:
            raise ValueError("a polyhedron has three equal sizes: the diameter of the sphere of its volume")
        if self.shape == "rod" and self.size_nm[0] != self.size_nm[1]:
            raise ValueError("a rod has size_nm = [diameter, diameter, length]")
        if not any(self.axis_uvw) or max(map(abs, self.axis_uvw)) > 100:
            raise ValueError("axis_uvw must be a direction with components between -100 and 100, not [0, 0, 0]")
        return self


class MembraneTable(Strict):
    """Amorphous support under the whole beam."""

    material: Literal["carbon", "ice", "none"] = "carbon"
    thickness_nm: float = Field(default=0.0, ge=0, le=500)


class BeamTable(Strict):
    """Illumination at the specimen."""

    energy_kev: float = Field(ge=40, le=1250)
    diameter_nm: float = Field(ge=1, le=10000)
    flux_e_per_angstrom2_s: float = Field(ge=1e-6, le=1e7)
    convergence_mrad: float = Field(default=0.0, ge=0, le=20)
    profile: Literal["top_hat", "gaussian"] = "top_hat"


class DetectorTable(Strict):
    """Hybrid-pixel detector."""

    name: Name
    fast_px: int = Field(ge=32, le=4096)
    slow_px: int = Field(ge=32, le=4096)
    pixel_size_um: float = Field(ge=1, le=1000)
    counts_per_electron: float = Field(default=1.0, ge=0.05, le=50)
    psf_fwhm_px: float = Field(default=0.0, ge=0, le=20)
    quantum_efficiency: float = Field(default=1.0, gt=0, le=1)
    counter_max: int = Field(default=65535, ge=255, le=2**31 - 1)
    dead_time_ns: float = Field(default=0.0, ge=0, le=1e6)
    dead_pixel_fraction: float = Field(default=0.0, ge=0, le=0.2)
    flat_field_sd: float = Field(default=0.0, ge=0, le=0.5)
    gap_px: int = Field(default=0, ge=0, le=64)


class ProjectionTable(Strict):
    """Nominal projection; an absent centre is the middle of the detector."""

    camera_length_mm: float = Field(ge=10, le=10000)
    tilt_axis_deg: Angle
    centre_fast_px: float | None = Field(default=None, ge=0, le=4096)
    centre_slow_px: float | None = Field(default=None, ge=0, le=4096)


class Instrument(Strict):
    """The microscope as its operator believes it to be."""

    name: Name
    beam: BeamTable
    detector: DetectorTable
    projection: ProjectionTable
    max_tilt_deg: float = Field(default=75.0, ge=1, le=90)
    rotation_speed_deg_s: float = Field(default=10.0, gt=0, le=100)
    tracked: bool = False


class Actual(Strict):
    """How the real instrument differs from the nominal one; hidden from the pipeline."""

    camera_length_percent: float = Field(default=0.0, ge=-20, le=20)
    ellipse_percent: float = Field(default=0.0, ge=0, le=10)
    ellipse_azimuth_deg: Angle = 0.0
    tilt_axis_offset_deg: float = Field(default=0.0, ge=-90, le=90)
    centre_offset_px: Annotated[
        tuple[Annotated[float, Field(ge=-200, le=200)], Annotated[float, Field(ge=-200, le=200)]], Field(strict=False)
    ] = (0.0, 0.0)
    centre_drift_px: float = Field(default=0.0, ge=0, le=100)
    orientation_jitter_deg: float = Field(default=0.0, ge=0, le=5)
    position_drift_nm: float = Field(default=0.0, ge=0, le=1000)
    position_runout_nm: float = Field(default=0.0, ge=0, le=1000)
    intensity_sd_percent: float = Field(default=0.0, ge=0, le=50)
    motion_deg: float = Field(default=0.0, ge=0, le=10)  # serial: turn of the particle during an exposure


class Acquisition(Strict):
    """The tilt series as planned; a serial one has ``frames`` and a stage that stays at ``start_deg``."""

    mode: Literal["precession", "continuous", "stills", "serial"]
    start_deg: float = Field(default=0.0, ge=-90, le=90)
    stop_deg: float = Field(default=0.0, ge=-90, le=90)
    step_deg: float = Field(default=1.0, gt=0, le=30)
    exposure_s: float = Field(gt=0, le=3600)
    precession_deg: float = Field(default=0.0, ge=0, le=5)
    frames: int | None = Field(default=None, ge=1, le=MAX_FRAMES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "serial") != (self.frames is not None):
            raise ValueError('frames must be given in mode "serial" and in no other mode')
        if self.mode != "serial":
            missing = sorted({"start_deg", "stop_deg", "step_deg"} - self.model_fields_set)
            if missing:
                raise ValueError(f'{", ".join(missing)} must be given in mode "{self.mode}"')
            if self.start_deg == self.stop_deg:
                raise ValueError("start_deg and stop_deg must differ")
        if (self.mode == "precession") != (self.precession_deg > 0):
            raise ValueError('precession_deg must be above 0 in mode "precession" and 0 in every other mode')
        if self.frame_count > MAX_FRAMES:
            raise ValueError(f"the plan has {self.frame_count} frames, allowed are at most {MAX_FRAMES}")
        return self

    @property
    def frame_count(self) -> int:
        """Stepwise series count both ends, a continuous one the intervals; a serial one says it."""
        if self.frames is not None:
            return self.frames
        steps = int(abs(self.stop_deg - self.start_deg) / self.step_deg + 1e-6)
        return max(1, steps if self.mode == "continuous" else steps + 1)


class EngineTable(Strict):
    """How the frames are made. ``g_max_per_angstrom`` limits what lands on the detector."""

    kind: Literal["bloch", "kinematical", "multislice"] = "bloch"
    g_max_per_angstrom: float = Field(default=2.0, ge=0.3, le=5)
    s_max_per_angstrom: float | None = Field(default=None, ge=1e-4, le=0.5)  # None: for an estimated R1 of 1 %
    azimuth_steps: int = Field(default=32, ge=1, le=1024)
    rotation_steps: int = Field(default=16, ge=1, le=1024)
    thickness_nodes: int = Field(default=9, ge=2, le=200)
    absorption: bool = True
    precision: Literal["single", "double"] = "single"
    slice_angstrom: float = Field(default=1.0, ge=0.1, le=20)  # multislice
    phonon_configurations: int = Field(default=0, ge=0, le=1000)  # multislice; 0: atoms at rest, damped by their U
    film_as_atoms: bool = False  # multislice on a carbon membrane: the film scatters coherently


class ReductionTable(Strict):
    """Options of the data reduction.

    cell_angstrom_deg (a, b, c in Å, α, β, γ in degrees) and laue: what a serial series must know beforehand. Of a tilt
    series a cell that is given is oriented instead of looked for (conventional axes, monoclinic with b unique). The
    centring is found when it is not given.
    """

    g_max_per_angstrom: float | None = Field(default=None, ge=0.3, le=5)
    cell_angstrom_deg: Annotated[
        tuple[CellLength, CellLength, CellLength, CellAngle, CellAngle, CellAngle] | None, Field(strict=False)
    ] = None
    laue: LaueClass | None = None
    centring: Literal["P", "A", "B", "C", "I", "F", "R"] | None = None


def _flipping(name: str) -> Any:
    """Field of an option of charge flipping, with its default and its range."""
    low, high = flipping.RANGE[name]
    return Field(default=getattr(flipping.DEFAULT, name), ge=low, le=high)


class SolutionTable(Strict):
    """Options of charge flipping; what each does: ``pipeline.solution.options``."""

    enabled: bool = True
    starts: int = Field(default=8, ge=1, le=1000)
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)  # None: the scenario's
    delta: float | None = _flipping("delta")
    normalise: Normalisation = flipping.DEFAULT.normalise
    missing: Missing = flipping.DEFAULT.missing
    bound_e: float = _flipping("bound_e")
    weak_share: float = _flipping("weak_share")
    cycles: int = _flipping("cycles")
    polish: int = _flipping("polish")
    repeat: Repeat = flipping.DEFAULT.repeat


class RefinementTable(Strict):
    """Which refinements are made, and how far the dynamical one reaches."""

    kinematical: bool = True
    non_averaged: bool = True
    frame_based: bool = True
    dynamical: bool = True
    anisotropic: bool = False
    g_max_per_angstrom: float = Field(default=1.6, ge=0.3, le=5)
    s_g_max_per_angstrom: float = Field(default=0.01, ge=1e-4, le=0.5)
    r_s_g_max: float = Field(default=0.75, gt=0, le=2)
    steps: int = Field(default=64, ge=1, le=1024)  # azimuths of the cone, or parts of the rotation range
    thickness_model: Literal["sphere", "slab", "wedge", "cylinder"] = "sphere"
    thickness_scan_nm: Annotated[tuple[Size, Size], Field(strict=False)] = (2.0, 60.0)
    refine_orientations: bool = True
    occupancies: Literal["fixed", "composition", "free"] = "fixed"
    interaction: Literal["fixed", "refined"] = "fixed"  # strength of multiple scattering as a dynamical parameter
    max_cycles: int = Field(default=20, ge=1, le=200)
    precision: Literal["single", "double"] = "single"


class Scenario(Strict):
    """One experiment, from the atoms to the refinements that are asked for."""

    name: Name | None = None  # the file's own name when absent
    title: Text
    status: Literal["ready", "planned"] = "ready"
    status_note: Text = ""
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    study: Study | None = None
    material: Material
    particle: ParticleTable
    membrane: MembraneTable = MembraneTable()
    instrument: Instrument
    actual: Actual = Actual()
    acquisition: Acquisition
    engine: EngineTable = EngineTable()
    reduction: ReductionTable = ReductionTable()
    solution: SolutionTable = SolutionTable()
    refinement: RefinementTable = RefinementTable()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        limit, plan = self.instrument.max_tilt_deg, self.acquisition
        if plan.mode == "serial" and (self.reduction.cell_angstrom_deg is None or self.reduction.laue is None):
            raise ValueError(
                'mode "serial" needs reduction.cell_angstrom_deg and reduction.laue: stills of many particles say '
                "nothing of a lattice that is not known"
            )
        if max(abs(plan.start_deg), abs(plan.stop_deg)) > limit:
            raise ValueError(
                f"acquisition.start_deg and acquisition.stop_deg must lie within ±{limit:g}° (instrument.max_tilt_deg)"
            )
        if self.engine.kind == "multislice" and self.particle.bending_deg_per_nm != 0.0:
            raise ValueError(
                'particle.bending_deg_per_nm needs engine.kind "bloch" or "kinematical": '
                "multislice has straight lattices"
            )
        if self.engine.film_as_atoms and (
            self.engine.kind != "multislice" or self.membrane.material != "carbon" or self.membrane.thickness_nm <= 0.0
        ):
            raise ValueError(
                'engine.film_as_atoms needs engine.kind "multislice" and a membrane of carbon with a thickness'
            )
        pixels = plan.frame_count * self.instrument.detector.fast_px * self.instrument.detector.slow_px
        if pixels > MAX_PIXELS:
            raise ValueError(f"the series would have {pixels:.1e} pixels, allowed are at most {MAX_PIXELS:.1e}")
        return self
