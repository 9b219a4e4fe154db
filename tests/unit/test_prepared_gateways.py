"""Gateways that tests fork from a prepared process: they end as others do, and with the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import BY_COMMAND_LINE, ROOT, free_port
from tests.support.prepared_gateways import PreparedGateways

pytestmark = pytest.mark.long

_CHECK = ["--check-config", "--config", "python:gateway.server.gunicorn_config", "wsgi:app"]


def test_only_what_python_reads_at_its_start_needs_one() -> None:
    """Settings and an engine's address are read later, so a fork has them in time."""
    prepared, usual = PreparedGateways(ROOT), dict(os.environ)

    assert prepared.can_start(usual | {"SANDBOX_WORKERS": "3", "DOCKER_HOST": "unix:///x"})
    assert not prepared.can_start(usual | BY_COMMAND_LINE)
    assert not prepared.can_start(usual | {"LD_PRELOAD": "x.so"})


def test_each_has_its_own_settings_log_and_exit_status(tmp_path: Path) -> None:
    """What one start read, the next does not find."""
    prepared, ended = PreparedGateways(ROOT), []
    for workers in ("none", "2"):
        with (tmp_path / workers).open("ab") as log:
            variables = {"SANDBOX_WORKERS": workers, "SANDBOX_DATA_DIR": str(tmp_path / "data")}
            gateway = prepared.start(_CHECK, os.environ | variables, log)
            ended.append(gateway.wait(30))
    with (tmp_path / "killed").open("ab") as log:
        gateway = prepared.start(_CHECK, dict(os.environ), log)
        os.kill(gateway.pid, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            gateway.wait(0.1)
        gateway.kill()
        ended.append(gateway.wait(10))
    prepared.close()

    assert ended == [1, 0, -signal.SIGKILL]
    assert "SANDBOX_WORKERS" in (tmp_path / "none").read_text()
    assert "SANDBOX_WORKERS" not in (tmp_path / "2").read_text()


def test_none_outlives_the_tests(tmp_path: Path) -> None:
    """However they end: here without a chance to clean up."""
    script = """
import os, sys
import psutil
from tests.support.eventually import eventually
from tests.support.gateway_process import ARGUMENTS, ROOT
from tests.support.prepared_gateways import PreparedGateways
variables = {"SANDBOX_DATA_DIR": sys.argv[1], "SANDBOX_WORKERS": "1", "SANDBOX_PORT": sys.argv[2]}
with open(os.devnull, "ab") as log:
    gateway = PreparedGateways(ROOT).start(ARGUMENTS, os.environ | variables, log)
worker, = eventually(psutil.Process(gateway.pid).children)
print(gateway.pid, worker.pid, flush=True)
os._exit(0)
"""

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(free_port())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    eventually(lambda: not any(map(psutil.pid_exists, pids)))
