"""The gateway runs before what is in sandboxes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.host.cpu_priority import NICE

AUTOGROUP = Path("/proc/self/autogroup")

PROGRAM = """
import os
from pathlib import Path
from gateway.host.cpu_priority import go_first
go_first()
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text() if group.exists() else "")
"""


def _run(*before: str) -> str:
    words = [*before, sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, capture_output=True, text=True, check=True, start_new_session=True)
    return done.stdout


@pytest.mark.engine
def test_root_is_preferred_and_so_is_its_session() -> None:
    """Where sessions are scheduled as groups, a process's own value counts for nothing."""
    said = _run()

    assert said.startswith(f"{NICE} ")
    if AUTOGROUP.exists():
        assert f"nice {NICE}" in said


@pytest.mark.engine
def test_without_the_right_nothing_changes_and_nothing_fails() -> None:
    """An ordinary user's gateway starts all the same."""
    said = _run("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice")

    assert said.startswith("0 ")
