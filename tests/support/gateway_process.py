"""The real gateway as a child process: gunicorn with its workers, on a port of its own."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import psutil
import requests

from tests.support.engine_view import EngineView
from tests.support.eventually import eventually
from tests.support.prepared_gateways import Prepared, PreparedGateways

ROOT = Path(__file__).resolve().parents[2]

ARGUMENTS = ["--config", "python:gateway.server.gunicorn_config", "wsgi:app"]
_PYTHON = [sys.executable, "-m", "gunicorn"]
_COMMAND = [*_PYTHON, *ARGUMENTS]

_PREPARED = PreparedGateways(ROOT)

BY_COMMAND_LINE = {"PYTHONHASHSEED": "0"}
"""In the environment of a start: python reads it before all else, so this is no fork."""

START_S = 30.0
STOP_S = 15.0
"""Above gunicorn's `graceful_timeout`."""


class GatewayProcess:
    """One gateway: may be started, killed and started again over the same data directory.

    `settings` are environment variables without their prefix: `idle_timeout="1"`; there is no pool
    unless they say so. `close` kills it and removes the containers with this gateway's own
    label, no others. It works with the engine at `engine_url`, or the machine's own.
    """

    def __init__(self, directory: Path, *, engine_url: str | None = None, **settings: str) -> None:
        self.directory = directory
        self.instance = f"test-{os.getpid()}-{secrets.token_hex(4)}"
        self.engine = EngineView(self.instance, engine_url)
        self.tree, self.command = ROOT, _COMMAND
        """What is started, and where: another version of the gateway has its own. Today's is forked
        from a process that is prepared for it."""
        self._engine_url = engine_url
        self.port = free_port()
        self.data_dir = directory / "data"
        self.log_path = directory / "gateway.log"
        self.headers: dict[str, str] = {}
        """Sent with each request, unless it has its own: a key, for example."""
        self._settings = {"workers": "2", "pool_size": "0", **settings}
        self._process: subprocess.Popen[bytes] | Prepared | None = None

    # --- life ------------------------------------------------------------------------------------

    def start(self, **environment: str) -> GatewayProcess:
        """Start it and wait until it listens. `environment` is added as it is."""
        assert self._process is None
        with self.log_path.open("ab") as log:
            self._process = self._begin(self._environment() | environment, log)
        wanted = int(self._settings["workers"])
        eventually(lambda: self._answers() and len(self.workers()) == wanted, within_s=START_S)
        return self

    def _begin(
        self, environment: dict[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes] | Prepared:
        is_todays = (self.tree, self.command) == (ROOT, [*_PYTHON, *ARGUMENTS])
        if is_todays and _PREPARED.can_start(environment):
            return _PREPARED.start(ARGUMENTS, environment, log)
        return subprocess.Popen(
            # Dies with the test run, however that ends.
            ["setpriv", "--pdeathsig", "KILL", "--", *self.command],
            cwd=self.tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def start_ready(self, **environment: str) -> GatewayProcess:
        """Start it and wait until it says that sandboxes can be served."""
        self.start(**environment)
        eventually(lambda: self.get("/readyz").status_code == 200, within_s=START_S)
        return self

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("SANDBOX_") or name == "SANDBOX_IMAGE"
        }
        # With it each of hundreds of starts would compile the gateway anew: 0.2 s per process.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        own = {
            "port": str(self.port),
            "data_dir": str(self.data_dir),
            "instance": self.instance,
            **self._settings,
        }
        if self._engine_url is not None:
            kept["DOCKER_HOST"] = self._engine_url
        return kept | {f"SANDBOX_{name.upper()}": value for name, value in own.items()}

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended: {self.log()[-2000:]}"
        try:
            return self.get("/healthz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    @property
    def pid(self) -> int:
        """The master's."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the master alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """`kill -9` of master and workers at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill_master(self) -> None:
        """`kill -9` of the master alone: its workers notice, and end by themselves."""
        assert self._process is not None
        workers = self.workers()
        self._process.kill()
        self._process.wait()
        self._process = None
        gone, alive = psutil.wait_procs(workers, timeout=STOP_S)
        assert not alive, f"{len(alive)} of {len(gone) + len(alive)} workers stayed"

    def wait_stopped(self, within_s: float = STOP_S) -> int:
        """The master's exit status, after it was told to stop."""
        assert self._process is not None
        status = self._process.wait(within_s)
        self._process = None
        return status

    def close(self) -> None:
        """Kill it and remove what it has made. May be repeated."""
        try:
            if self._process is not None:
                self.kill()
        finally:
            self.engine.remove_all()
            self.engine.close()

    def log(self) -> str:
        """Everything it has written."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # --- its processes ---------------------------------------------------------------------------

    def workers(self) -> list[psutil.Process]:
        """The worker processes, oldest first."""
        try:
            return psutil.Process(self.pid).children()
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> int:
        """Bytes that all workers have resident."""
        return sum(worker.memory_info().rss for worker in self.workers())

    def private_memory(self) -> int:
        """Bytes that the gateway has for itself: what its processes share counts once."""
        processes = [psutil.Process(self.pid), *self.workers()]
        return sum(process.memory_full_info().pss for process in processes)

    @contextmanager
    def only(self, worker: psutil.Process) -> Iterator[None]:
        """What connects while inside is accepted by this worker: the others are stopped, but never
        in the middle of a write, which would keep the store's lock."""
        others = [other for other in self.workers() if other.pid != worker.pid]
        try:
            while True:
                for other in others:
                    other.suspend()
                if self._may_write():
                    break
                for other in others:
                    other.resume()
                time.sleep(0.01)
            yield
        finally:
            for other in others:
                other.resume()

    def _may_write(self) -> bool:
        """Whether the store's lock is free, or held by one that goes on."""
        with closing(sqlite3.connect(self.data_dir / "gateway.db", timeout=0.2)) as store:
            try:
                store.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            store.rollback()
            return True

    # --- REST ------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def websocket_url(self, sandbox_id: str) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/{sandbox_id}"

    def request(self, method: str, path: str, **options: object) -> requests.Response:
        """One request on a connection of its own, so that any worker may answer it."""
        options = {"timeout": 60, "allow_redirects": False} | options
        headers = {"Connection": "close", **self.headers, **options.pop("headers", {})}
        with requests.Session() as session:
            # Proxies and passwords of this machine's are not for it, and to look for them takes a
            # third of the time of a request.
            session.trust_env = False
            return session.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: object) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: object) -> requests.Response:
        return self.request("DELETE", path, **options)

    def patch(self, path: str, **options: object) -> requests.Response:
        return self.request("PATCH", path, **options)

    def create(self, **wanted: object) -> str:
        """A new sandbox's id."""
        answer = self.post("/sandboxes", json=wanted) if wanted else self.post("/sandboxes")
        assert answer.status_code == 201, answer.text
        return answer.json()["sandbox_id"]

    def status_of(self, sandbox_id: str) -> str:
        """What REST says about a sandbox: its status, or the number of the error."""
        answer = self.get(f"/sandboxes/{sandbox_id}")
        return answer.json()["status"] if answer.status_code == 200 else str(answer.status_code)

    def listed(self) -> set[str]:
        """The ids in the list."""
        return {sandbox["sandbox_id"] for sandbox in self.get("/sandboxes").json()}


def free_port() -> int:
    """Outside the range from which outgoing connections take theirs (ip(7), ip_local_port_range):
    between a gateway's death and its restart, a client on the machine would be given it."""
    while True:
        port = 10000 + secrets.randbelow(22000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
