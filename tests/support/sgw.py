"""`sgw` as people call it, from this tree."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.gateway_process import ROOT

WITHIN_S = 60.0

COMMAND = [sys.executable, "-m", "gateway.client"]


def environment(url: str, **more: str) -> dict[str, str]:
    """Of a user whose configuration is empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    own = {"GATEWAY_URL": url, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": "/nonexistent"}
    return kept | own | more


class Sgw:
    """Calls `sgw` for one gateway."""

    def __init__(self, url: str, **more: str) -> None:
        self.environment = environment(url, **more)

    def __call__(
        self, *words: str, stdin: bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """What became of it."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        given |= {"capture_output": True, "env": self.environment, "timeout": WITHIN_S}
        return subprocess.run([*COMMAND, *words], **(given | options), check=False)

    def text(self, *words: str) -> str:
        """What it prints, having returned 0."""
        done = self(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def json(self, *words: str) -> Any:
        """The same, read."""
        return json.loads(self.text(*words))

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """One that goes on."""
        return subprocess.Popen([*COMMAND, *words], **({"env": self.environment} | options))


class Screen:
    """`sgw` on a terminal of its own. Use it in a `with`."""

    def __init__(self, sgw: Sgw, *words: str) -> None:
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                os.execvpe(COMMAND[0], [*COMMAND, *words], sgw.environment | {"TERM": "xterm"})
            finally:
                os._exit(127)
        self.pid = pid
        self.shown = b""
        self.status: int | None = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, keys: bytes) -> None:
        """As a person does."""
        os.write(self.fd, keys)

    def wait_for(self, wanted: bytes, within_s: float = 30.0) -> None:
        """Read until it is shown; what was shown before is forgotten."""
        end = time.monotonic() + within_s
        while wanted not in self.shown:
            assert time.monotonic() < end, self.shown[-2000:]
            if not self._read(end):
                raise AssertionError(self.shown[-2000:])
        self.shown = self.shown.partition(wanted)[2]

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False  # it has ended
        self.shown += data
        return bool(data)

    def wait(self, within_s: float = 30.0) -> int:
        """Its status."""
        end = time.monotonic() + within_s
        while self._read(end):
            assert time.monotonic() < end, self.shown[-2000:]
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


def installed(directory: Path) -> dict[str, str]:
    """Variables with which this tree's client is there as if it were installed: the package by its
    name, and `sgw`."""
    programs, packages = directory / "programs", directory / "packages"
    programs.mkdir()
    packages.mkdir()
    (packages / "sandbox_gateway").symlink_to(ROOT / "gateway" / "client")
    program = programs / "sgw"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sandbox_gateway "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
        "XDG_CONFIG_HOME": str(directory / "config"),
    }


def wheel_of_this_tree(directory: Path, python: Path) -> Path:
    """Install this tree's package into an empty environment; its folder of programs."""
    subprocess.run([python, "-m", "venv", directory], check=True)
    programs = directory / "bin"
    subprocess.run(
        [programs / "pip", "install", "--quiet", "--disable-pip-version-check", ROOT],
        check=True,
        cwd=directory,
        stdin=subprocess.DEVNULL,
    )
    return programs
