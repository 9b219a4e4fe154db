"""Who gets a signal first, and who does something about it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from gateway.agent.processes import proctree
from tests.support.eventually import eventually


@pytest.fixture
def nested() -> Iterator[subprocess.Popen[bytes]]:
    """Three shells within each other, and what the last one runs."""
    script = "sh -c 'sh -c \"sleep 60; true\"; true'; true"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    eventually(lambda: len(proctree.members(process.pid, "none")) == 4)
    yield process
    proctree.kill_all(lambda: proctree.members(process.pid, "none"), process.pid)
    process.wait()


def test_parents_come_before_their_children(nested: subprocess.Popen[bytes]) -> None:
    """A shell whose child goes first gets on to its next step."""
    found = list(proctree.members(nested.pid, "none"))
    assert found[0] == nested.pid
    parents = {pid: int(_stat(pid)[1]) for pid in found}
    assert [parents[pid] for pid in found[1:]] == found[:-1]


def test_a_group_gets_a_signal_as_one(nested: subprocess.Popen[bytes]) -> None:
    """All four, and nobody twice."""
    found = proctree.members(nested.pid, "none")
    assert proctree.send(found, signal.SIGTERM, nested.pid) == 4
    assert nested.wait(10) == -signal.SIGTERM


def test_a_kill_leaves_nothing(nested: subprocess.Popen[bytes]) -> None:
    """Nor what was started while it looked."""
    reached = proctree.kill_all(lambda: proctree.members(nested.pid, "none"), nested.pid)
    assert reached >= 4
    assert nested.wait(10) == -signal.SIGKILL
    assert proctree.members(None, "none") == {}


@pytest.mark.parametrize(
    ("script", "number", "ends"),
    [
        ("sleep 60", signal.SIGTERM, True),
        ("sleep 60", signal.SIGWINCH, False),
        ("sleep 60", signal.SIGCONT, False),
        ("trap '' TERM; echo up; read -r _", signal.SIGTERM, False),
        ("trap : USR1; echo up; read -r _", signal.SIGUSR1, False),
        ("trap : USR1; echo up; read -r _", signal.SIGUSR2, True),
    ],
)
def test_what_ends_by_a_signal_is_seen(script: str, number: int, ends: bool) -> None:
    """So that an end with 0 after it can be told from a handler's."""
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{script}"] if "trap" in script else script.split(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        if "up" in script:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
        assert proctree.ends_by(process.pid, number) is ends
        process.kill()
    assert proctree.ends_by(os.getpid(), signal.SIGCHLD) is False


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()
