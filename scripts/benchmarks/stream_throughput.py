"""`stream`: how long a large output takes to a client that throws it away.

Over the gateway's WebSocket, and by `docker exec … | cat` from the same container.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing

from gateway.sandboxes.spec.container_labels import SANDBOX_ID

from .client import BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .raw_stream import RawStream
from .rounds import Series, Subject, measure
from .targets import Target

# Durations: 0.7 of the throughput is exec's time divided by the WebSocket's.
TARGETS = (
    Target("docker_exec", "websocket", "at least", 0.7),
    Target("docker_exec", "base64", "at least", 0.7),
)

MEGABYTE = 1_000_000
FILE = "/tmp/stream"


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure a stream of `samples` times 20 MB, once per round and subject.

    Raises BenchmarkFailed.
    """
    size = samples * 20 * MEGABYTE
    url = gateways.measured
    with sandbox(url) as sandbox_id:
        with closing(CommandSocket(url, sandbox_id)) as commands:
            commands.run(f"yes 0123456789abcde | head -c {size} > {FILE}")
        with closing(RawStream(url, sandbox_id)) as stream:

            def over_websocket(encoding: str) -> Callable[[int], list[float]]:
                return lambda _count: [stream.time(f"cat {FILE}", encoding)]

            about = f"{size // MEGABYTE} MB, streamed as"
            subjects = [
                Subject("websocket", f"{about} text", over_websocket("utf-8"), 1),
                Subject("base64", f"{about} base64", over_websocket("base64"), 1),
            ]
            if shutil.which("docker") is None:
                say("docker_exec is not measured: there is no docker command")
            else:
                container = _container_of(sandbox_id)
                subjects.append(
                    Subject(
                        "docker_exec",
                        "docker exec … cat | cat, from the same container",
                        lambda _count: [_time_docker_exec(container)],
                        1,
                    )
                )
            return measure(subjects, rounds, say)


def _container_of(sandbox_id: str) -> str:
    arguments = ["docker", "ps", "-q", "--filter", f"label={SANDBOX_ID}={sandbox_id}"]
    found = subprocess.run(arguments, capture_output=True, text=True, check=False).stdout.split()
    if not found:
        raise BenchmarkFailed("the sandbox is not on this machine's engine")
    return found[0]


def _time_docker_exec(container: str) -> float:
    started = time.perf_counter()
    with subprocess.Popen(
        ["docker", "exec", container, "cat", FILE], stdout=subprocess.PIPE
    ) as exec_run:
        sink = subprocess.run(
            ["cat"], stdin=exec_run.stdout, stdout=subprocess.DEVNULL, check=False
        )
    if sink.returncode or exec_run.returncode:
        raise BenchmarkFailed("docker exec failed")
    return time.perf_counter() - started
