"""A sandbox without a network that is given programs, and the servers that are started in it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from benchmarks.client import BenchmarkFailed

START_S = 120.0


class Sandbox:
    """One sandbox, until it is closed."""

    def __init__(self, url: str, **options: object) -> None:
        self._session = requests.Session()
        self.url = url
        answer = self._session.post(f"{url}/sandboxes", json={"network": "none", **options})
        answer.raise_for_status()
        self.sandbox_id: str = answer.json()["sandbox_id"]
        self._at = f"{url}/sandboxes/{self.sandbox_id}"

    @property
    def gateway(self) -> str:
        """Host and port of the gateway."""
        return urlsplit(self.url).netloc

    def path(self, port: int) -> str:
        """Below which a port is reached by path, without a slash at the end."""
        return f"/sandboxes/{self.sandbox_id}/ports/{port}"

    def host(self, port: int) -> str:
        """Under which a port is reached by host."""
        return f"{port}-{self.sandbox_id}.localhost:{urlsplit(self.url).port}"

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        answer = self._session.put(f"{self._at}/files", params={"path": path}, data=content)
        answer.raise_for_status()

    def unpack(self, directory: str, sources: Iterable[tuple[Path, str]]) -> None:
        """Copy files and directories of this machine in, each under a name."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for source, name in sources:
                tar.add(source, name)
        answer = self._session.put(
            f"{self._at}/archive", params={"path": directory}, data=packed.getvalue()
        )
        answer.raise_for_status()

    def run(self, command: str, timeout_s: float = 300.0) -> str:
        """What a command writes. Raises BenchmarkFailed when it does not succeed."""
        asked = {"command": command, "timeout": timeout_s}
        answer = self._session.post(f"{self._at}/commands", json=asked, timeout=timeout_s + 10)
        answer.raise_for_status()
        result = answer.json()
        if not result["success"]:
            raise BenchmarkFailed(f"{command}: {result['error'][-2000:]}{result['output'][-500:]}")
        return str(result["output"])

    def start(self, command: str, port: int, name: str) -> float:
        """Start a server; the seconds until it listens. Raises BenchmarkFailed."""
        began = time.monotonic()
        asked = {"command": command, "background": True, "request_id": name}
        self._session.post(f"{self._at}/commands", json=asked).raise_for_status()
        while time.monotonic() - began < START_S:
            listening = self._session.get(f"{self._at}/ports").json()
            if any(one["port"] == port for one in listening):
                return time.monotonic() - began
            state = self._session.get(f"{self._at}/commands/{name}").json()
            if state["status"] == "finished":
                raise BenchmarkFailed(f"{command}: {state['result']['error'][-2000:]}")
            time.sleep(0.2)
        raise BenchmarkFailed(f"{command}: nothing listens on port {port}")

    def close(self) -> None:
        """Delete it. May be repeated."""
        self._session.delete(self._at)
        self._session.close()


def fetched(command: list[str], directory: Path) -> None:
    """Let pip or npm fetch packages. Raises BenchmarkFailed."""
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)}: {done.stderr[-2000:]}")
