"""Locks that end with their process, in each of their uses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.process.file_lock import is_locked, locked, try_lock
from gateway.process.master_lock import register_master, running_master

ROOT = Path(__file__).resolve().parents[3]

_HOLDER = (
    "import sys; from pathlib import Path; from gateway.process.file_lock import try_lock\n"
    "lock = try_lock(Path(sys.argv[1])); print(lock is not None, flush=True); sys.stdin.read()\n"
)


def _holder(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """Also with one that is killed."""
    path = tmp_path / "lock"
    assert not is_locked(path)
    with _holder(path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert is_locked(path)
        assert try_lock(path) is None
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
        assert not is_locked(path)
        mine = try_lock(path)

    assert mine is not None
    assert is_locked(path)
    mine.close()
    assert not is_locked(path)


def test_what_a_lock_file_says_stays(tmp_path: Path) -> None:
    """To ask for the lock must not empty the file of who has it."""
    path = tmp_path / "lock"
    path.write_text("mine")

    lock = try_lock(path)
    assert lock is not None
    assert try_lock(path) is None

    assert path.read_text() == "mine"
    lock.close()


def test_within_the_block_others_are_kept_out(tmp_path: Path) -> None:
    """And afterwards they are not, though it raised."""
    path = tmp_path / "lock"

    def fail() -> None:
        with locked(path):
            assert is_locked(path)
            raise ValueError("meant")

    with pytest.raises(ValueError, match="meant"):
        fail()
    assert not is_locked(path)


def test_the_master_that_runs_is_known(tmp_path: Path) -> None:
    """By its pid, which is another one's as soon as it has ended; a second one does not take its
    place."""
    assert running_master(tmp_path) is None
    (tmp_path / "gateway.pid").write_text("4711 and more\n")
    assert running_master(tmp_path) is None

    mark = register_master(tmp_path)
    assert mark is not None
    assert register_master(tmp_path) is None

    assert running_master(tmp_path) == os.getpid()
    mark.close()
    assert running_master(tmp_path) is None
