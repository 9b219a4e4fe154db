"""Gateways out of a process that has imported everything: a start for half of its processor time.

The process does what gunicorn's master does until it reads the configuration, once, and is forked
for each start: what comes after that is gunicorn itself, with the environment and the directory of
this start. Tests of the command line start gateways by the command line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

_MESSAGE_BYTES = 256 * 1024

_READ_AT_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANG", "TZ")
"""Beginnings of the names of variables that a process looks at before it runs Python code."""


class PreparedGateways:
    """The process, started when it is first needed. It ends with this one, and its gateways do."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._ours: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def can_start(self, environment: dict[str, str]) -> bool:
        """Whether the process would be as one that was started with this environment."""
        return all(
            environment.get(name) == os.environ.get(name)
            for name in environment.keys() | os.environ.keys()
            if name.startswith(_READ_AT_START) and name != "PYTHONDONTWRITEBYTECODE"
        )

    def start(self, arguments: list[str], environment: dict[str, str], log: IO[bytes]) -> Prepared:
        """gunicorn with these arguments, in a session of its own."""
        wanted = {"arguments": arguments, "environment": environment}
        return Prepared(self, self._ask(wanted, log.fileno()))

    def status_of(self, pid: int) -> int | None:
        """The status with which a gateway has ended, None while it runs; to be asked until then."""
        return self._ask({"status of": pid})

    def close(self) -> None:
        """End the process, and what was started from it."""
        if self._ours is not None and self._process is not None:
            self._ours.close()
            self._process.wait()
            self._ours = self._process = None

    def _ask(self, request: dict[str, Any], *descriptors: int) -> Any:
        with self._lock:
            if self._ours is None:
                self._ours = self._begin()
            message = json.dumps(request).encode()
            socket.send_fds(self._ours, [message], list(descriptors))
            answer = self._ours.recv(_MESSAGE_BYTES)
        assert answer, "the process that gateways are forked from has ended"
        return json.loads(answer)

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_BYTES)
        variables = {name: value for name, value in os.environ.items() if "SANDBOX_" not in name}
        # With it each of hundreds of starts would compile the gateway anew: 0.2 s per process.
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.prepared_master", str(theirs.fileno())],
                cwd=self._root,
                env=variables,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest, which then closes its gateways
            )
        return ours


class Prepared:
    """A master, with what `subprocess.Popen` has of it. Its parent is the process it is from."""

    def __init__(self, source: PreparedGateways, pid: int) -> None:
        self._source = source
        self.pid = pid
        self._ended = os.pidfd_open(pid)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        if self.returncode is None:
            self.returncode = self._source.status_of(self.pid)
            if self.returncode is not None:
                os.close(self._ended)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("gunicorn", timeout or 0)
        status = self.poll()
        assert status is not None
        return status

    def kill(self) -> None:
        """SIGKILL, to it alone."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._ended, signal.SIGKILL)
