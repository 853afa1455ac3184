"""Other packages in their own environments, driven as subprocesses.

A peer is used when an environment variable names its Python interpreter: EDTWIN_PEER_ABTEM, EDTWIN_PEER_DIFFBLOCH,
EDTWIN_PEER_PY4DSTEM. Each runs with one thread.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

SCRIPTS = Path(__file__).parent.parent / "peers"
PEERS = {
    "abTEM": ("EDTWIN_PEER_ABTEM", "abtem_bloch.py"),
    "diffBloch": ("EDTWIN_PEER_DIFFBLOCH", "diffbloch_bloch.py"),
    "py4DSTEM": ("EDTWIN_PEER_PY4DSTEM", "py4dstem_bloch.py"),
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class PeerError(RuntimeError):
    """A peer is not there, or did not answer."""


def interpreter(name: str) -> str | None:
    """Python interpreter of a peer, or None when its variable does not name a file."""
    path = os.environ.get(PEERS[name][0], "")
    return path if path and Path(path).is_file() else None


def reason_to_skip(name: str) -> str:
    """Sentence for a table or a skipped test."""
    return f"{PEERS[name][0]} does not name a Python interpreter that has {name}"


@dataclass(slots=True)
class Peer:
    """A running peer; a context manager."""

    name: str
    version: str
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, name: str, *, script: str | None = None) -> Peer:
        python = interpreter(name)
        if python is None:
            raise PeerError(reason_to_skip(name))
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | dict.fromkeys(THREADS, "1")
        process = subprocess.Popen(
            [python, str(SCRIPTS / (script or PEERS[name][1]))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if not os.environ.get("EDTWIN_PEER_LOG") else None,
            text=True,
            env=environment,
        )
        line = _stream(process.stdout).readline()
        if not line:
            raise PeerError(f"{name} did not start: {_last_line(process)}")
        return cls(name=name, version=str(json.loads(line)["version"]), process=process)

    def run(self, *, problem: Path, work: str, result: Path | None = None) -> float:
        """Seconds that the peer took; its arrays go to ``result``."""
        request = {"problem": str(problem), "work": work, "result": None if result is None else str(result)}
        stream = _stream(self.process.stdin)
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        line = _stream(self.process.stdout).readline()
        if not line:
            raise PeerError(f"{self.name} stopped: {_last_line(self.process)}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.name} {work}: {answer['error']}")
        return float(answer["seconds"])

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise PeerError("the peer has no open stream")
    return stream


def _last_line(process: subprocess.Popen[str]) -> str:
    text = process.stderr.read() if process.stderr is not None else ""
    return text.strip().splitlines()[-1] if text.strip() else "no message"
