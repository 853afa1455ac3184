"""The report is one file that needs nothing else, escapes what it is given, and works in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from validation.report import render_report, write_report
from validation.report.frames import BUDGET_BYTES, frame_set
from validation.report.verdict import verdict
from validation.summary import summarise
from validation.view import RunView

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(fake_run):
    return render_report(fake_run)


def test_report_is_self_contained(page):
    """No address is fetched: every source is a data URL, and the policy in the head forbids the rest."""
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page)
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!data:)", page)
    assert len(page) < 10e6


def test_report_shows_the_run(page, fake_run):
    summary = summarise(fake_run)
    assert f"{summary['dynamical']['r_obs_percent']:.2f}" in page
    assert "CNRS-01" in page
    assert page.count("data:image/svg+xml") == 9
    assert "None" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_report_is_reproducible(page, fake_run):
    assert render_report(fake_run) == page


def test_hostile_names_are_escaped(fake_run):
    nasty = replace(fake_run, title="<script>alert(1)</script>", meta={"k": "</script><b>"}, dataset=None)
    text = render_report(nasty)
    assert "<script>alert" not in text
    assert "</script><b>" not in text


def test_report_of_an_empty_run(tmp_path):
    """Nothing was run: the page says so section by section and has no viewer."""
    target = tmp_path / "report.html"
    write_report(RunView(scenario="nothing", seed=0, engine="bloch"), target)
    text = target.read_text(encoding="utf-8")
    assert "There are no frames in this run." in text
    assert "frames-data" not in text


def test_failed_stage_is_said(fake_run):
    text = render_report(replace(fake_run, failures={"solve": "no map was accepted <in 8 starts>"}))
    assert "<strong>solve gave up:</strong> no map was accepted &lt;in 8 starts&gt;" in text


@pytest.mark.parametrize("missing", [("truth", "truth_intensities"), ("peaks", "merged", "solution"),
                                     ("reflections",), ("orientation",)])  # fmt: skip
def test_report_without_some_stages(fake_run, missing):
    assert "<h2>Frames</h2>" in render_report(replace(fake_run, **dict.fromkeys(missing)))


def test_frames_fit_the_budget(fake_run):
    """100 frames of 512² of pure noise, the hardest case to compress, stay under the budget."""
    rng = np.random.default_rng(0)
    frame = rng.poisson(20.0, size=(1, 512, 512)).astype(np.uint32)
    frame[0, 100, 100] = 5000
    dataset = replace(
        fake_run.dataset, counts=np.repeat(frame, 100, axis=0), alpha_start_deg=np.zeros(100),
        alpha_end_deg=np.zeros(100), exposure_s=np.ones(100), bad_pixels=np.zeros((512, 512), dtype=bool),
    )  # fmt: skip
    shown = frame_set(dataset=dataset, reflections=None, peaks=None)
    assert len(shown.images) == 100
    assert sum(len(i) for i in shown.images) * 3 / 4 <= 1.02 * BUDGET_BYTES


def test_verdict_tells_success_from_failure(fake_run):
    good = verdict(summarise(fake_run))
    assert "Pbca, the right group" in good[0]
    bad_solution = replace(fake_run.solution, solved=False, crystal=None)
    assert "not solved" in verdict(summarise(replace(fake_run, solution=bad_solution)))[0]
    crystal = fake_run.solution.crystal
    lacking = replace(fake_run.solution, crystal=replace(crystal, sites=crystal.sites[:2]))
    assert "1 position missing" in verdict(summarise(replace(fake_run, solution=lacking)))[0]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_slider_runs_in_chromium(fake_run, tmp_path):
    """The script reads its data and draws: the viewer says which frame it shows."""
    target = tmp_path / "report.html"
    write_report(fake_run, target)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=4000", "--dump-dom", target.as_uri()]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    viewer = re.search(r'<div class="viewer"[^>]*>', dom)
    assert viewer is not None
    assert 'data-state="ready"' in viewer.group()
    assert f'data-frame="{len(fake_run.dataset.counts) // 2}"' in viewer.group()
    assert re.search(r'id="frame-name"[^>]*>Frame \d+ of \d+', dom)
