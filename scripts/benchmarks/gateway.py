"""The gateway that is measured: a private one, or one that runs already."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from . import leftovers
from .client import BenchmarkFailed

START_S = 30
STOP_S = 15

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Gateways:
    """URLs of what is measured, and of another gateway that it is compared with."""

    measured: str
    baseline: str | None = None


@dataclass(frozen=True)
class PrivateGateway:
    """One that was started for a measurement, with the pid of its master and where it writes."""

    url: str
    pid: int
    data_dir: Path
    log: Path


@contextmanager
def private_gateway(
    root: Path, workers: int, settings: Mapping[str, str] | None = None
) -> Iterator[PrivateGateway]:
    """A gateway that is started from the clone at `root`, with data, port and instance of its own,
    and `settings` (whole names of variables). At the end it is stopped and its containers are
    removed, whatever happened.

    Raises BenchmarkFailed when it does not start, and DockerException.
    """
    leftovers.remove_abandoned()
    instance = leftovers.new_instance()
    with tempfile.TemporaryDirectory(prefix="sandbox-gateway-bench.") as folder:
        log, data_dir = Path(folder) / "gateway.log", Path(folder) / "data"
        process, url = _start(root, data_dir, log, workers, instance, settings or {})
        try:
            _wait_until_healthy(url, log)
            yield PrivateGateway(url, process.pid, data_dir, log)
        finally:
            # A second Ctrl-C shall not leave containers behind.
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                _stop(process)
                leftovers.remove_of(instance)
            finally:
                signal.signal(signal.SIGINT, previous)


def _start(
    root: Path, data_dir: Path, log: Path, workers: int, instance: str, settings: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], str]:
    """Start gunicorn on a socket that listens already: nobody else can take its port, and clients
    wait in its backlog until a worker is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        port = listener.getsockname()[1]
        arguments = ["--config", f"python:{_configuration_of(root)}"]
        arguments += ["--bind", f"fd://{listener.fileno()}", "wsgi:app"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments],
            cwd=root,
            env=_environment(data_dir, port, workers, instance) | dict(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listener.fileno()],
            # Ctrl-C is for the benchmark, which then stops its gateway in order.
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    return process, f"http://127.0.0.1:{port}"


def _configuration_of(root: Path) -> str:
    """The tree may be an earlier commit's, which has gunicorn's configuration elsewhere."""
    moved = root / "gateway" / "server" / "gunicorn_config.py"
    return "gateway.server.gunicorn_config" if moved.exists() else "gateway.gunicorn_config"


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the benchmark is killed (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _environment(data_dir: Path, port: int, workers: int, instance: str) -> dict[str, str]:
    """This process's, without settings that an operator made for another gateway."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SANDBOX_") or name == "SANDBOX_IMAGE"
    }
    return kept | {
        "SANDBOX_PORT": str(port),
        "SANDBOX_WORKERS": str(workers),
        "SANDBOX_DATA_DIR": str(data_dir),
        "SANDBOX_INSTANCE": instance,
        "SANDBOX_LOG_LEVEL": "warning",
    }


def _wait_until_healthy(url: str, log: Path) -> None:
    try:
        requests.get(f"{url}/healthz", timeout=START_S).raise_for_status()
    except requests.RequestException as error:
        end = log.read_text(errors="replace")[-2000:].strip()
        raise BenchmarkFailed(f"the gateway did not start: {error}\n{end}") from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
