"""From the scenario's tables to the values that twin, hardware and pipeline work with. Nominal and actual part here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scenarios.schema import Scenario
from twin.files.errors import InputError
from twin.model.crystal import Crystal, Site
from twin.model.instrument import Beam, Detector, Microscope, Projection
from twin.model.plan import Plan
from twin.model.specimen import Membrane


def nominal_microscope(scenario: Scenario) -> Microscope:
    """The instrument as its operator believes it to be; an absent centre is the middle of the detector."""
    table = scenario.instrument
    detector = Detector(**table.detector.model_dump())
    fast, slow = table.projection.centre_fast_px, table.projection.centre_slow_px
    projection = Projection(
        camera_length_mm=table.projection.camera_length_mm,
        centre_fast_px=0.5 * (detector.fast_px - 1) if fast is None else fast,
        centre_slow_px=0.5 * (detector.slow_px - 1) if slow is None else slow,
        tilt_axis_deg=table.projection.tilt_axis_deg,
    )
    return Microscope(name=table.name, beam=Beam(**table.beam.model_dump()), detector=detector, projection=projection)


def actual_microscope(scenario: Scenario) -> Microscope:
    """The instrument as it is: the nominal one with the deviations of ``[actual]``."""
    nominal, actual = nominal_microscope(scenario), scenario.actual
    p = nominal.projection
    projection = replace(
        p,
        camera_length_mm=p.camera_length_mm * (1 + 0.01 * actual.camera_length_percent),
        centre_fast_px=p.centre_fast_px + actual.centre_offset_px[0],
        centre_slow_px=p.centre_slow_px + actual.centre_offset_px[1],
        tilt_axis_deg=p.tilt_axis_deg + actual.tilt_axis_offset_deg,
        ellipse_percent=actual.ellipse_percent,
        ellipse_azimuth_deg=actual.ellipse_azimuth_deg,
    )
    return replace(nominal, projection=projection)


def tilt_plan(scenario: Scenario) -> Plan:
    """The series as planned; the sign of the step follows from start and stop, a serial series has none."""
    table = scenario.acquisition
    step_deg = table.step_deg if table.stop_deg > table.start_deg else -table.step_deg
    return Plan(
        mode=table.mode,
        start_deg=table.start_deg,
        step_deg=0.0 if table.mode == "serial" else step_deg,
        frame_count=table.frame_count,
        exposure_s=table.exposure_s,
        precession_deg=table.precession_deg,
    )


def membrane(scenario: Scenario) -> Membrane:
    """The amorphous support."""
    return Membrane(material=scenario.membrane.material, thickness_nm=scenario.membrane.thickness_nm)


def true_crystal(scenario: Scenario, cif_path: Path) -> Crystal:
    """The crystal of the CIF, checked, with the scenario's displacement parameters."""
    from twin.files.cif import read_crystal

    crystal = read_crystal(cif_path, expect_formula=scenario.material.expect_formula)
    named = set(scenario.material.u_iso_angstrom2)
    unknown = named - {site.element for site in crystal.sites}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InputError(f"material.u_iso_angstrom2 names {names}, which {cif_path.name} does not hold")
    return replace(crystal, sites=tuple(_with_displacement(site, scenario) for site in crystal.sites))


def _with_displacement(site: Site, scenario: Scenario) -> Site:
    given = scenario.material.u_iso_angstrom2.get(site.element)
    if given is not None:
        return replace(site, u_iso_angstrom2=given, u_aniso_angstrom2=None)
    scale = scenario.material.u_scale
    aniso = site.u_aniso_angstrom2
    u11, u22, u33, u12, u13, u23 = aniso if aniso is not None else (0.0,) * 6
    scaled = (scale * u11, scale * u22, scale * u33, scale * u12, scale * u13, scale * u23)
    return replace(
        site, u_iso_angstrom2=scale * site.u_iso_angstrom2, u_aniso_angstrom2=None if aniso is None else scaled
    )


def solution_seed(scenario: Scenario) -> int:
    """Seed of the structure solution: its own, so that another start does not change the frames."""
    return scenario.seed % 2**31


def formula_for_solution(scenario: Scenario) -> str:
    """The composition that the laboratory knows, without spaces."""
    return scenario.material.composition.replace(" ", "")
