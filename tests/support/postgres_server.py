"""A PostgreSQL server of the tests' own: on a Unix socket in its own directory, without root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from tests.support.eventually import eventually

_NAMES = count()


def server_programs() -> Path | None:
    """Where Debian has the newest `initdb` and `postgres`; None where they are not installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


class PostgresServer:
    """Starts with the object and ends with `close`, or with this process."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # The path of a socket must be short, and the server's user must be able to come here.
        self._directory = Path(tempfile.mkdtemp(prefix="gateway-pg-"))
        self._change_user: list[str] = []
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self._directory, user.pw_uid, user.pw_gid)
            self._change_user = [
                *("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
            ]
        self._data = self._directory / "data"
        self._run(
            "initdb",
            *("--pgdata", str(self._data), "--username", "postgres", "--auth", "trust"),
            *("--locale", "C", "--encoding", "UTF8", "--no-sync"),
        )
        self._server = self._start()
        eventually(self._answers, within_s=30)

    def _command(self, name: str, *arguments: str) -> list[str]:
        # The server is told to end when this process does, however that ends: prctl(2).
        end = ["--pdeathsig", "INT"] if name == "postgres" else []
        wrapper = ["setpriv", *self._change_user, *end] if self._change_user or end else []
        return [*wrapper, str(self._programs / name), *arguments]

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            self._command(name, *arguments),
            cwd=self._directory,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._directory),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self._directory / "log").open("wb") as log:
            return subprocess.Popen(
                self._command("postgres", "-D", str(self._data), *options),
                cwd=self._directory,
                stdout=log,
                stderr=log,
            )

    def _answers(self) -> bool:
        assert self._server.poll() is None, (self._directory / "log").read_text()
        asked = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", self._directory, "-U", "postgres"],
            check=False,
            timeout=30,
        )
        return asked.returncode == 0

    def new_place(self) -> str:
        """The URL of a new, empty schema: what is not said to be in another one is in there."""
        name = f"place{next(_NAMES)}"
        self._run(
            *("psql", "-h", str(self._directory), "-U", "postgres", "-d", "postgres"),
            *("-q", "-c", f"CREATE SCHEMA {name}"),
        )
        where = f"host={self._directory}&user=postgres&options=-csearch_path%3D{name}"
        return f"postgresql:///postgres?{where}"

    def close(self) -> None:
        """End it, and take its files away. May be repeated."""
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)  # SIGTERM waits for its clients: postgres(1)
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
