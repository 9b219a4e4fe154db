"""`neighbours`: what a sandbox feels of another one in which everything goes wrong at once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import docker
import websocket

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("beside", "alone", "at most", 2, percent=99),
    Target("beside", "alone"),
)

BOMBS = {
    "processes": ":(){ :|:& };:",
    "memory": "python3 -c 'held = []\nwhile True: held.append(bytearray(10 ** 6))'",
    "bytes of the disk": "cat /dev/zero > zeros",
    "files": "mkdir -p many; i=0; while :; do i=$((i + 1)); : > many/$i; done",
    "output that nobody reads": "yes",
    "CPU": "for n in 1 2 3 4; do (while :; do :; done) & done; wait",
    "zombies": "while :; do (sleep 0 &) ; done",
}
WARM_UP = 30
BURNING_S = 2.0
FLOOR_MB = 2048
"""`SANDBOX_DISK_FLOOR_MB` as it is by default."""


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure one sandbox alone, and beside another one that has all bombs at once. Raises
    BenchmarkFailed."""
    with ExitStack() as held:
        quiet = held.enter_context(sandbox(gateways.measured))
        commands = held.enter_context(closing(CommandSocket(gateways.measured, quiet)))
        commands.time("true", WARM_UP)
        disk = _Disk()

        def alone(count: int) -> list[float]:
            return commands.time("true", count)

        def beside(count: int) -> list[float]:
            with sandbox(gateways.measured) as noisy, _bombs(gateways.measured, noisy):
                threading.Event().wait(BURNING_S)
                durations = commands.time("true", count)
                disk.look()
                return durations

        subjects = [
            Subject("alone", "a command that does nothing", alone, samples),
            Subject("beside", "likewise, beside " + ", ".join(BOMBS), beside, samples),
        ]
        series = measure(subjects, rounds, say)
        say(f"the engine's disk: {disk.least_free >> 20} MiB free at least, floor {FLOOR_MB}")
        return series


class _Disk:
    """The engine's, if it is on this machine. Raises BenchmarkFailed when it is below the floor."""

    def __init__(self) -> None:
        with closing(docker.from_env()) as client:
            self._root = client.info()["DockerRootDir"]
        self.least_free = shutil.disk_usage(self._root).free

    def look(self) -> None:
        self.least_free = min(self.least_free, shutil.disk_usage(self._root).free)
        if self.least_free < FLOOR_MB << 20:
            raise BenchmarkFailed(f"{self.least_free >> 20} MiB are free on the engine's disk")


@contextmanager
def _bombs(url: str, sandbox_id: str) -> Iterator[None]:
    """All of them at once, each streamed to a client that reads nothing."""
    address = f"ws{url.removeprefix('http')}/ws/{sandbox_id}"
    client = websocket.create_connection(address, timeout=TIMEOUT_S)
    try:
        for name, command in BOMBS.items():
            client.send(json.dumps({"command": command, "request_id": name, "stream": True}))
        yield
    finally:
        client.shutdown()
