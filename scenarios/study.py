"""The foundation of the schema, and its tables for the published numbers of the study."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(max_length=400)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class Strict(BaseModel):
    """Frozen; unknown keys, lax types and non-finite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class StudyBlock(Strict):
    """Published numbers of one column of the study's tables, on the keys of ``summary.json``."""

    reflections_all: int | None = Field(default=None, ge=0)
    reflections_obs: int | None = Field(default=None, ge=0)
    parameters: int | None = Field(default=None, ge=0)
    r_obs_percent: Percent | None = None
    r_all_percent: Percent | None = None
    wr_all_percent: Percent | None = None
    gof_obs: float | None = Field(default=None, ge=0, le=1000)
    mean_distance_angstrom: float | None = Field(default=None, ge=0, le=10)
    max_distance_angstrom: float | None = Field(default=None, ge=0, le=10)
    occupancies: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None


class StudyData(Strict):
    """Published numbers about the averaged data."""

    completeness_percent: Percent | None = None
    redundancy: float | None = Field(default=None, ge=0, le=10000)
    r_int_percent: Percent | None = None
    averaged_all: int | None = Field(default=None, ge=0)
    averaged_obs: int | None = Field(default=None, ge=0)


class StudyTreatment(Strict):
    """Table 3: R(obs) in percent by how the same data are treated."""

    averaged_kinematical: Percent | None = None
    non_averaged_kinematical: Percent | None = None
    frame_based_kinematical: Percent | None = None
    frame_based_dynamical: Percent | None = None


class Study(Strict):
    """The row of the study that the scenario stands beside."""

    row: Text
    source: Text = "ACS Nano 2025, 19, 20599"
    data: StudyData = StudyData()
    kinematical: StudyBlock = StudyBlock()
    dynamical: StudyBlock = StudyBlock()
    treatment: StudyTreatment = StudyTreatment()
