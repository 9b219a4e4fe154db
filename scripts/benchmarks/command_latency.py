"""`exec`: how long a command takes that does nothing.

Over the gateway's WebSocket, by the docker SDK's `exec_run` in the same container, and at the
least: the time the kernel needs to start the same shell there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import docker
from docker.errors import DockerException
from docker.models.containers import Container

from gateway.engine.hardening import SANDBOX_USER
from gateway.sandboxes.labels import SANDBOX_ID

from . import fork_floor
from .client import BenchmarkFailed, CommandSocket, sandbox
from .rounds import Series, Subject, measure
from .targets import Target

WEBSOCKET = "websocket"
EXEC_RUN = "exec_run"
FLOOR = "floor"
BASELINE = "baseline"

TARGETS = (
    Target(EXEC_RUN, WEBSOCKET, "at least", 25),
    Target(WEBSOCKET, FLOOR, "at most", 2.5),
    Target(WEBSOCKET, BASELINE),
)

SAMPLES_PER_EXEC_RUN = 16
"""An `exec_run` takes 60 ms: so many fewer are made of it."""

WARM_UP = 30
EXEC_RUN_WARM_UP = 3


def run(
    gateways: Mapping[str, str], rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure the gateway at `gateways["websocket"]`, and the one at `gateways["baseline"]` if
    there is one; the other subjects run in the first one's sandbox.

    Raises BenchmarkFailed.
    """
    with ExitStack() as open_things:
        sockets = {}
        for name, url in gateways.items():
            sandbox_id = open_things.enter_context(sandbox(url))
            sockets[name] = open_things.enter_context(closing(CommandSocket(url, sandbox_id)))
            sockets[name].time("true", WARM_UP)
            if name == WEBSOCKET:
                container = open_things.enter_context(_container_of(sandbox_id))
        subjects = [
            Subject(name, f'{{"command": "true"}} at {gateways[name]}', _over(one), samples)
            for name, one in sockets.items()
        ]
        subjects.append(_floor(sockets[WEBSOCKET], samples))
        if container is not None:
            subjects.append(_exec_run(container, samples))
        else:
            say("exec_run is not measured: the sandbox is not on the engine of this machine")
        return measure(subjects, rounds, say)


def _over(commands: CommandSocket) -> Callable[[int], list[float]]:
    return lambda count: commands.time("true", count)


def _floor(commands: CommandSocket, samples: int) -> Subject:
    def sample(count: int) -> list[float]:
        try:
            return fork_floor.samples(commands.run(fork_floor.command(count)))
        except ValueError as error:
            raise BenchmarkFailed(f"the floor could not be measured: {error}") from error

    sample(WARM_UP)
    return Subject(FLOOR, "fork and exec of the same shell, by a program in there", sample, samples)


def _exec_run(container: Container, samples: int) -> Subject:
    def sample(count: int) -> list[float]:
        return [_time_exec_run(container) for _ in range(count)]

    sample(EXEC_RUN_WARM_UP)
    about = "the docker SDK's exec_run in the same container"
    return Subject(EXEC_RUN, about, sample, max(1, samples // SAMPLES_PER_EXEC_RUN))


def _time_exec_run(container: Container) -> float:
    started = time.perf_counter()
    returncode, _output = container.exec_run(["/bin/bash", "-c", "true"], user=SANDBOX_USER)
    duration = time.perf_counter() - started
    if returncode != 0:
        raise BenchmarkFailed(f"exec_run ended with {returncode}")
    return duration


@contextmanager
def _container_of(sandbox_id: str) -> Iterator[Container | None]:
    """The container behind a sandbox; None when this machine's engine does not have it."""
    try:
        client = docker.from_env()
    except DockerException:
        yield None
        return
    with closing(client):
        found = client.containers.list(filters={"label": f"{SANDBOX_ID}={sandbox_id}"})
        yield found[0] if found else None
