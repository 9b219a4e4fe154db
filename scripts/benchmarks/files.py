"""`files`: small files against a command, large ones against `docker cp`.

Everything over one connection that stays open, as clients have it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from gateway.sandboxes.spec.container_labels import SANDBOX_ID

from .client import BenchmarkFailed, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("read", "command", "at most", 1.3),
    Target("write", "command", "at most", 1.3),
    Target("hundred", None, "at most", 50),
    # Durations: half as much again of the throughput.
    Target("cp_in", "upload", "at least", 1.5),
    Target("cp_out", "download", "at least", 1.5),
)

MEGABYTE = 1_000_000
SMALL = os.urandom(1024)
PIECE_BYTES = 1024 * 1024


class Connection:
    """HTTP to one sandbox's files and commands."""

    def __init__(self, url: str, sandbox_id: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        self._base = f"/sandboxes/{sandbox_id}"

    def ask(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> None:
        """One request, whose answer is read to its end. Raises BenchmarkFailed."""
        headers = {"Content-Type": kind}
        if isinstance(body, _Sized):
            headers["Content-Length"] = str(len(body))  # else it is sent in chunks
        self._http.request(method, self._base + path, body, headers)
        answer = self._http.getresponse()
        buffer = bytearray(PIECE_BYTES)
        while answer.readinto(buffer):
            pass
        if answer.status >= 300:
            raise BenchmarkFailed(f"{method} {path} was answered with {answer.status}")

    def close(self) -> None:
        self._http.close()


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Small files `samples` times per round, a file of `samples` times 5 MB once. Raises
    BenchmarkFailed."""
    size = samples * 5 * MEGABYTE
    url = gateways.measured
    with (
        sandbox(url) as sandbox_id,
        closing(Connection(url, sandbox_id)) as http_connection,
        tempfile.TemporaryDirectory() as directory,
    ):
        ask = http_connection.ask
        large = Path(directory) / "large"
        with large.open("wb") as file:
            for _ in range(size // MEGABYTE):
                file.write(os.urandom(MEGABYTE))

        def each(work: Callable[[], None]) -> Callable[[int], list[float]]:
            return lambda count: [_timed(work) for _ in range(count)]

        def upload() -> None:
            with large.open("rb") as file:
                ask("PUT", "/files?path=large", _Sized(file, size))

        form, kind = _form(100)
        subjects = [
            Subject(
                "command",
                "`true`, over REST",
                each(lambda: ask("POST", "/commands", b'{"command": "true"}')),
                samples,
            ),
            Subject("write", "1 KB", each(lambda: ask("PUT", "/files?path=k", SMALL)), samples),
            Subject("read", "1 KB", each(lambda: ask("GET", "/files?path=k")), samples),
            Subject(
                "hundred",
                "100 files of 1 KB in one form",
                each(lambda: ask("POST", "/files?path=many", form, kind)),
                max(1, samples // 10),
            ),
            Subject("upload", f"{size // MEGABYTE} MB", each(upload), 1),
            Subject(
                "download",
                f"{size // MEGABYTE} MB",
                each(lambda: ask("GET", "/files?path=large")),
                1,
            ),
        ]
        if shutil.which("docker") is None:
            say("docker cp is not measured: there is no docker command")
        else:
            container = f"{_container_of(sandbox_id)}:/home/user/copied"
            cp = ["docker", "cp"]
            subjects += [
                Subject("cp_in", "docker cp", each(lambda: _run([*cp, str(large), container])), 1),
                Subject(
                    "cp_out", "docker cp", each(lambda: _run([*cp, container, f"{large}.out"])), 1
                ),
            ]
        for subject in subjects:
            subject.sample(1)
        return measure(subjects, rounds, say)


class _Sized:
    """A file whose length http.client sends, and which it reads in large pieces."""

    def __init__(self, file: object, size: int) -> None:
        self._file = file
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, _size: int = -1) -> bytes:
        piece: bytes = self._file.read(PIECE_BYTES)  # type: ignore[attr-defined]
        return piece


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _form(count: int) -> tuple[bytes, str]:
    head = '--b\r\nContent-Disposition: form-data; name="f"; filename="{}"\r\n\r\n'
    parts = [head.format(number).encode() + SMALL + b"\r\n" for number in range(count)]
    return b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"


def _container_of(sandbox_id: str) -> str:
    words = ["docker", "ps", "-q", "--filter", f"label={SANDBOX_ID}={sandbox_id}"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    if len(found) != 1:
        raise BenchmarkFailed("the sandbox's container is not on this engine")
    return found[0]


def _run(words: list[str]) -> None:
    subprocess.run(words, capture_output=True, check=True)
