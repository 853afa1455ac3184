"""Files appear whole or not at all: kills at every step of the write, swept leftovers, paths that stay inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twin.files import atomic
from twin.files.atomic import atomic_path, inside, sha256_bytes, sha256_file, sweep_stale, write_bytes, write_text
from twin.files.errors import InputError

_OLD, _NEW = b"the old content", bytes(range(256)) * 64



def _killed_write(path: Path, data: bytes, *, at: int) -> None:
    """Write as :func:`write_bytes` does, in a child that dies (no clean-up) after ``at`` bytes."""
    pid = os.fork()
    if pid == 0:
        try:
            with atomic_path(path) as temporary, open(temporary, "xb", buffering=0) as handle:
                handle.write(data[:at])
                os._exit(9)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("before", [None, _OLD])
def test_a_kill_inside_the_write_leaves_the_old_state(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "result.bin"
    if before is not None:
        write_bytes(path, before)
    for at in np.linspace(0, len(_NEW), 60).astype(int):
        _killed_write(path, _NEW, at=int(at))
        assert (path.read_bytes() if path.exists() else None) == before
    assert len(sweep_stale(tmp_path, older_than_s=0.0)) == 60
    write_bytes(path, _NEW)
    assert path.read_bytes() == _NEW
    assert [p.name for p in tmp_path.iterdir()] == ["result.bin"]


@pytest.mark.parametrize("step", ["_sync_file", "os.replace", "sync_folder"])
def test_a_failure_between_the_steps_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "result.bin"
    write_bytes(path, _OLD)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    target = atomic.os if step == "os.replace" else atomic
    monkeypatch.setattr(target, step.removeprefix("os."), fail)
    with pytest.raises(OSError, match="no space"):
        write_bytes(path, _NEW)
    monkeypatch.undo()
    assert path.read_bytes() == (_NEW if step == "sync_folder" else _OLD)
    assert [p.name for p in tmp_path.iterdir()] == ["result.bin"]


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom twin.files.atomic import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "write_bytes(Path(sys.argv[1]), bytes(50000))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "big.bin")], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_temporary_files_of_a_living_process_are_not_swept(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"in work")
        assert sweep_stale(tmp_path, older_than_s=0.0) == []
    (tmp_path / ".somebody-elses.tmp").write_text("not ours")
    assert sweep_stale(tmp_path, older_than_s=0.0) == []


def test_hashes_are_sha256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_file(path) == sha256_bytes(b"abc") == known


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "C:\\x", "C:/x", "a\\..\\..\\x", "", ".", "a/..", "x\x00y", "link/x", "link"],
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError):
        inside(folder, name)


def test_paths_below_the_folder_are_allowed(tmp_path: Path) -> None:
    assert inside(tmp_path, "truth/a.json") == tmp_path.resolve() / "truth" / "a.json"
    assert inside(tmp_path, "a/../b") == tmp_path.resolve() / "b"
