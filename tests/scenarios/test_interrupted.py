"""Ctrl-C: every command ends with 130 and one sentence, and what the sentence promises about going on is true."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from scenarios.cli.app import app
from scenarios.cli.exits import BAD_INPUT, INTERRUPTED, guarded, interruptible
from scenarios.load import load_scenario
from scenarios.progress import Silent
from scenarios.run import run_scenario
from twin.files.atomic import sha256_file

TINY = Path(__file__).parent / "tiny.toml"
ROOT = Path(__file__).resolve().parents[2]
ANATASE = ROOT / "scenarios" / "library" / "materials" / "anatase.cif"
FRAMES = ("simulate", "acquire")
HEARS_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job has none
PATIENCE_S = 120.0  # for a command to come to the point at which it is interrupted


def interrupted(*arguments: str | Path, when: Callable[[], bool], cwd: Path) -> str:
    """What the command says on stderr when it gets SIGINT as soon as ``when`` is true."""
    words = [str(a) for a in arguments]
    with open(cwd / "stdout", "wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{HEARS_SIGINT}; from scenarios.cli import main; main({words!r})"],
            cwd=cwd, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    begun = time.monotonic()
    while not when() and process.poll() is None and time.monotonic() - begun < PATIENCE_S:
        time.sleep(0.005)
    assert process.poll() is None, f"ended before it could be interrupted: {process.communicate()[1].decode()}"
    process.send_signal(signal.SIGINT)  # to this process alone: what it started is its own affair
    _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, said.decode()
    sentences = [line for line in said.decode().splitlines() if not line.startswith("edtwin: warning:")]
    assert len(sentences) == 1
    assert sentences[0].startswith("edtwin: interrupted; ")
    return sentences[0].removeprefix("edtwin: interrupted; ")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "run"
    run_scenario(load_scenario(TINY), path=path, progress=Silent(), stages=FRAMES, summarise=False)
    return path


def exposures(path: Path) -> dict[str, tuple[int, str]]:
    """Inode and hash of each finished exposure."""
    return {p.name: (p.stat().st_ino, sha256_file(p)) for p in path.glob("truth/exposures/*.npz")}


def test_a_run_goes_on_from_what_is_finished(reference: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    said = interrupted("run", TINY, "-o", folder, when=lambda: bool(exposures(folder)), cwd=tmp_path)
    assert said == (
        "what is finished stays in the run folder; the same command with --resume and without --overwrite goes on from "
        "there"
    )
    before = exposures(folder)
    assert guarded(lambda: app(args=["run", str(TINY), "-o", str(folder)], standalone_mode=False)) == BAD_INPUT
    loaded = load_scenario(TINY)
    run_scenario(loaded, path=folder, progress=Silent(), resume=True, stages=FRAMES, summarise=False)
    assert before.items() <= exposures(folder).items()
    assert sha256_file(folder / "frames.nxs") == sha256_file(reference / "frames.nxs")


def test_a_stage_of_a_run_folder_leaves_what_other_stages_made(reference: Path, tmp_path: Path) -> None:
    def begun() -> bool:
        return "reduce" in json.loads((reference / "manifest.json").read_text(encoding="utf-8"))["started"]

    frames = sha256_file(reference / "frames.nxs")
    said = interrupted("reduce", reference, when=begun, cwd=tmp_path)
    assert said == "what other stages left in the run folder stays; the same command makes its own stages again"
    manifest = json.loads((reference / "manifest.json").read_text(encoding="utf-8"))
    assert {"simulate", "acquire"} <= set(manifest["stages"])
    assert "reduce" not in manifest["stages"]  # nothing pretends to be done
    assert sha256_file(reference / "frames.nxs") == frames


class Unwritten:
    """A pipe for an input file: whoever reads it waits."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path, self.handle = path, -1

    def read(self) -> bool:
        """Whether somebody has begun to read; from then on the pipe stays open."""
        if self.handle < 0:
            with suppress(OSError):  # nobody has opened the other end
                self.handle = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        return self.handle >= 0


NOTHING_YET = "results are written at the end: the same command begins again"
CLAIMED = f"{NOTHING_YET}, with --overwrite where some lie already"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("x.hkl", ("solve", "--data", "x.hkl", "--composition", "TiO2", "--cell", "4 4 3 90 90 90"), CLAIMED),
        ("x.cif_pets", ("refine", "--data", "x.cif_pets", "--model", "y.cif"), CLAIMED),
        ("x.cif", ("compare", "x.cif", str(ANATASE)), "the same command begins again"),
    ],
)  # fmt: skip
def test_commands_without_a_run_folder_promise_none(
    name: str, arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    """Interrupted while they read: nothing was written, nothing claimed."""
    pipe = Unwritten(tmp_path / name)
    assert interrupted(*arguments, when=pipe.read, cwd=tmp_path) == says
    os.close(pipe.handle)
    assert {p.name for p in tmp_path.iterdir()} == {name, "stdout"}


def test_measured_frames_begin_again(reference: Path, tmp_path: Path) -> None:
    """Interrupted after the frames have been read and told of, within the reduction."""
    told = tmp_path / "stdout"
    frames = ("reduce", "--frames", reference / "frames.nxs")
    said = interrupted(*frames, when=lambda: told.is_file() and b"frames" in told.read_bytes(), cwd=tmp_path)
    assert said == NOTHING_YET
    assert not (tmp_path / "runs").exists()


def test_a_study_ends_what_it_started_and_keeps_no_record_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "mountings"
    run = folder / "runs" / "anatase-1001"

    def begun() -> bool:
        return bool(exposures(run))

    said = interrupted("validate", "mountings", "--quick", "-o", tmp_path / "out", when=begun, cwd=tmp_path)
    assert said == f"parts that are done are kept in {tmp_path / 'out'}; the same command goes on from there"
    assert not list(folder.glob("*.json"))  # an interrupt is no failure of the mounting
    with open(run / ".lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody works there any more
    assert exposures(run)


def test_ctrl_c_says_what_helps_when_a_command_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        with interruptible("all is well"):
            raise KeyboardInterrupt

    assert guarded(command) == INTERRUPTED
    assert capsys.readouterr().err == "edtwin: interrupted; all is well\n"
