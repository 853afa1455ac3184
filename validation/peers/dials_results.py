"""Runs in the Python of DIALS: an experiment and its reflections as plain arrays. Arguments: expt, refl, npz."""

import sys

import numpy as np
from dials.array_family import flex
from dxtbx.model.experiment_list import ExperimentListFactory


def main(expt: str, refl: str, out: str) -> None:
    experiment = ExperimentListFactory.from_json_file(expt, check_format=False)[0]
    crystal, goniometer, scan = experiment.crystal, experiment.goniometer, experiment.scan
    first, last = scan.get_image_range()
    varying = crystal.num_scan_points > 0
    matrices = []
    for f in range(last - first + 1):
        if varying:
            a = np.array([crystal.get_A_at_scan_point(f), crystal.get_A_at_scan_point(f + 1)]).mean(axis=0)
        else:
            a = np.array(crystal.get_A())
        matrices.append(a.reshape(3, 3))
    table = flex.reflection_table.from_file(refl)
    arrays = {
        "a": np.array(matrices),
        "frame": np.arange(first - 1, last),  # DIALS trims the scan to where it has indexed spots
        "setting": np.array(goniometer.get_setting_rotation()).reshape(3, 3),
        "fixed": np.array(goniometer.get_fixed_rotation()).reshape(3, 3),
        "axis": np.array(goniometer.get_rotation_axis()),
        "alpha_deg": np.array([scan.get_angle_from_image_index(first + f + 0.5) for f in range(last - first + 1)]),
        "hkl": np.array(table["miller_index"].as_vec3_double()).reshape(-1, 3).round().astype(int),
        "beam": np.array(experiment.beam.get_s0()),
        "fast": np.array(experiment.detector[0].get_fast_axis()),
        "indexed": np.array(table.get_flags(table.flags.indexed)),
    }
    for kind in ("sum", "prf"):
        if f"intensity.{kind}.value" in table:
            arrays[kind] = np.array(table[f"intensity.{kind}.value"])
            arrays[f"{kind}_variance"] = np.array(table[f"intensity.{kind}.variance"])
            flag = table.flags.integrated_sum if kind == "sum" else table.flags.integrated_prf
            arrays[f"{kind}_ok"] = np.array(table.get_flags(flag))
    np.savez(out, **arrays)  # type: ignore[arg-type]  # Debian's numpy knows no allow_pickle


main(*sys.argv[1:])
