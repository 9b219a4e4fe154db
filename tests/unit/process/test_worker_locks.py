"""Which workers live, and which one keeps house: by locks that the kernel drops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.process.leadership import Leadership
from gateway.process.worker_locks import WorkerRegistry

ROOT = Path(__file__).resolve().parents[3]

_REGISTER = """
import sys
from pathlib import Path
from gateway.process.worker_locks import WorkerRegistry
registry = WorkerRegistry(Path(sys.argv[1]))
print(registry.worker_id, flush=True)
sys.stdin.read()
"""

_LEAD = """
import sys
from pathlib import Path
from gateway.process.leadership import Leadership
leadership = Leadership(Path(sys.argv[1]))
for _ in sys.stdin:
    print(leadership.acquire(), flush=True)
"""


@contextmanager
def _process(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _asked(process: subprocess.Popen[str]) -> str:
    process.stdin.write("?\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[WorkerRegistry]:
    registry = WorkerRegistry(tmp_path / "workers")
    yield registry
    registry.close()


def test_a_killed_worker_is_dead_at_once(registry: WorkerRegistry, tmp_path: Path) -> None:
    """`kill -9` leaves no chance to say goodbye; the kernel drops the lock."""
    with _process(_REGISTER, tmp_path / "workers") as other:
        other_id = other.stdout.readline().strip()
        assert registry.is_alive(other_id)
        assert registry.dead([other_id, registry.worker_id]) == set()

        other.kill()
        other.wait()

    assert registry.dead([other_id, registry.worker_id]) == {other_id}


def test_sweeping_removes_the_dead_only(registry: WorkerRegistry, tmp_path: Path) -> None:
    """Files of workers that were killed would pile up."""
    with _process(_REGISTER, tmp_path / "workers") as living:
        living_id = living.stdout.readline().strip()
        with _process(_REGISTER, tmp_path / "workers") as killed:
            killed.stdout.readline()

        registry.sweep()

        names = {path.stem for path in (tmp_path / "workers").iterdir()}
        assert names == {living_id, registry.worker_id}
        assert registry.is_alive(living_id)


def test_a_worker_that_left_is_dead(registry: WorkerRegistry, tmp_path: Path) -> None:
    """An orderly end; leaving twice is no error."""
    other = WorkerRegistry(tmp_path / "workers")
    other.close()
    other.close()

    assert registry.dead([other.worker_id]) == {other.worker_id}


def test_an_unknown_worker_is_dead(registry: WorkerRegistry) -> None:
    """Of a time before the directory was emptied."""
    assert not registry.is_alive("4711-never")


def test_ids_are_unique_although_pids_are_not(tmp_path: Path) -> None:
    """A pid is used again, after a restart of the machine almost certainly."""
    first, second = (WorkerRegistry(tmp_path / "workers") for _ in range(2))

    assert first.worker_id != second.worker_id
    first.close()
    second.close()


def test_one_process_leads_until_it_ends(tmp_path: Path) -> None:
    """Then another may, without a time-out."""
    path = tmp_path / "housekeeping.lock"
    with _process(_LEAD, path) as first, _process(_LEAD, path) as second:
        assert [_asked(first), _asked(first), _asked(second)] == ["True", "True", "False"]
        first.kill()
        first.wait()
        assert _asked(second) == "True"


def test_leadership_can_be_given_up(tmp_path: Path) -> None:
    """A worker that is told to stop makes room at once."""
    path = tmp_path / "housekeeping.lock"
    ours = Leadership(path)
    with _process(_LEAD, path) as other:
        assert ours.acquire()
        assert _asked(other) == "False"
        ours.close()
        ours.close()
        assert _asked(other) == "True"
