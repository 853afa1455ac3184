"""Frames do not depend on the number of workers; a killed run loses and repeats nothing that was finished."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scenarios.load import load_scenario
from scenarios.progress import Silent
from scenarios.run import run_scenario
from twin.files.atomic import sha256_file

TINY = Path(__file__).parent / "tiny.toml"
FRAMES = ("simulate", "acquire")


def _make(path: Path, *, workers: int = 1, resume: bool = False, overrides: tuple[str, ...] = ()) -> Silent:
    progress = Silent()
    loaded = load_scenario(TINY, overrides=overrides)
    run_scenario(
        loaded, path=path, progress=progress, workers=workers, resume=resume, stages=FRAMES, summarise=False
    )
    return progress


def _hashes(path: Path, *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Of everything but the manifest, which holds timings, and the files named in ``but``."""
    left_out = ("manifest.json", ".lock", *but)
    files = (p for p in path.rglob("*") if p.is_file() and p.name not in left_out)
    return {p.relative_to(path).as_posix(): sha256_file(p) for p in files}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "run"
    _make(path)
    return path


def test_one_worker_and_two_make_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    _make(tmp_path / "two", workers=2)
    assert _hashes(tmp_path / "two") == _hashes(reference)


def test_another_seed_makes_other_frames(reference: Path, tmp_path: Path) -> None:
    _make(tmp_path / "other", overrides=("seed=8",))
    assert sha256_file(tmp_path / "other" / "frames.nxs") != sha256_file(reference / "frames.nxs")


def test_a_finished_run_is_left_as_it_is(reference: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in reference.rglob("*.npz")}
    progress = _make(reference, resume=True)
    assert {p: p.stat().st_mtime_ns for p in reference.rglob("*.npz")} == before
    assert sum("done before" in sentence for sentence in progress.sentences) == 2


def test_what_a_setting_does_not_touch_is_kept(reference: Path, tmp_path: Path) -> None:
    """Another detector noise leaves the exposures alone; another flux does not."""
    exposures = {p.name: sha256_file(p) for p in (reference / "truth" / "exposures").iterdir()}
    _make(tmp_path / "run", overrides=("solution.starts=3",))
    assert {p.name: sha256_file(p) for p in (tmp_path / "run" / "truth" / "exposures").iterdir()} == exposures
    progress = _make(tmp_path / "run", resume=True, overrides=("instrument.beam.flux_e_per_angstrom2_s=200.0",))
    assert not any("done before" in sentence for sentence in progress.sentences)


def _start(path: Path, *, workers: int) -> subprocess.Popen[bytes]:
    arguments = ["simulate", str(TINY), "-o", str(path), "--workers", str(workers)]
    hears_sigint = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hears_sigint}; from scenarios.cli import main; main({arguments!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _finished(path: Path) -> dict[Path, tuple[int, int]]:
    kept = [*path.glob("truth/exposures/*.npz"), *path.glob("frames.nxs"), *path.glob("frames.nxs.part/*")]
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in kept if p.suffix != ".tmp"}


def _kill_and_resume(path: Path, *, kills: int, seed: int) -> int:
    """Kill whole process groups at random moments; what was finished must stay the same file. Returns real kills."""
    rng, hit = random.Random(seed), 0
    for _ in range(kills):
        process = _start(path, workers=rng.choice([1, 2]))
        begun = time.monotonic()
        while process.poll() is None and not path.joinpath("truth").is_dir() and time.monotonic() - begun < 60:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 2.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            hit += 1
        process.communicate()
        before = _finished(path)
        exposures = {p: v for p, v in before.items() if p.suffix == ".npz"}
        again = _start(path, workers=1)
        time.sleep(rng.uniform(0.5, 2.0))
        if again.poll() is None:
            os.killpg(again.pid, signal.SIGKILL)
            hit += 1
        again.communicate()
        after = _finished(path)
        assert {p: after.get(p) for p in exposures} == exposures
    return hit


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_kills_lose_and_repeat_nothing_that_was_finished(reference: Path, tmp_path: Path, kills: int) -> None:
    path = tmp_path / "run"
    assert _kill_and_resume(path, kills=kills, seed=kills) > 0
    _make(path, resume=True)
    history = ("events.json",)  # an acquisition that was taken up again tells another story of the same frames
    assert _hashes(path, but=history) == _hashes(reference, but=history)


def test_ctrl_c_ends_soon_with_130_and_can_be_resumed(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = _start(path, workers=2)
    begun = time.monotonic()
    while not any(path.glob("truth/exposures/*.npz")) and time.monotonic() - begun < 60:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    told = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - told < 10
    assert process.returncode in (130, 0)  # 0 when it was faster than the signal
    helps = "the same command goes on from there, unless it says --overwrite"
    assert process.returncode == 0 or said.decode() == (
        f"edtwin: interrupted; what is finished stays in the run folder; {helps}\n"
    )
    assert json.loads((path / "manifest.json").read_text())["scenario"] == "tiny"
    _make(path, resume=True)
    assert _hashes(path) == _hashes(reference)
