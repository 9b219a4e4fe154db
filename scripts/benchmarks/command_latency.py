"""`exec`: how long a command takes that does nothing.

Over the gateway's WebSocket, over REST, by the docker SDK's `exec_run` in the same container, and
at the least: the time the kernel needs to start the same shell there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import docker
from docker.errors import DockerException
from docker.models.containers import Container

from gateway.engine.container_hardening import SANDBOX_USER
from gateway.sandboxes.spec.container_labels import SANDBOX_ID

from . import fork_floor
from .client import BenchmarkFailed, CommandSocket, RestCommands, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("exec_run", "websocket", "at least", 25),
    Target("websocket", "floor", "at most", 2.5),
    Target("rest", "websocket", "at most", 1.6),
    Target("websocket", "baseline"),
    Target("rest", "baseline_rest"),
)

SAMPLES_PER_EXEC_RUN = 16
"""An `exec_run` takes 60 ms: so many fewer are made of it."""

WARM_UP = 30
EXEC_RUN_WARM_UP = 3


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure the gateway, the floor and exec_run in one sandbox of it, and the baseline gateway
    if there is one. Raises BenchmarkFailed."""
    with ExitStack() as held:
        commands, sandbox_id = _connect(gateways.measured, held)
        subjects = [_websocket(commands, samples), _floor(commands, samples)]
        subjects.append(_rest(gateways.measured, held, "rest", samples))
        if gateways.baseline is not None:
            subjects.append(_baseline(_connect(gateways.baseline, held)[0], samples))
            subjects.append(_rest(gateways.baseline, held, "baseline_rest", samples))
        container = held.enter_context(_container_of(sandbox_id))
        if container is not None:
            subjects.append(_exec_run(container, samples))
        else:
            say("exec_run is not measured: the sandbox is not on this machine's engine")
        return measure(subjects, rounds, say)


def _connect(url: str, held: ExitStack) -> tuple[CommandSocket, str]:
    """A connection to a new sandbox, and the sandbox's id; both end with `held`."""
    sandbox_id = held.enter_context(sandbox(url))
    commands = held.enter_context(closing(CommandSocket(url, sandbox_id)))
    commands.time("true", WARM_UP)
    return commands, sandbox_id


def _websocket(commands: CommandSocket, samples: int) -> Subject:
    about = "through the gateway, one command at a time"
    return Subject("websocket", about, lambda count: commands.time("true", count), samples)


def _rest(url: str, held: ExitStack, name: str, samples: int) -> Subject:
    """In a sandbox of its own, which no WebSocket keeps in use."""
    commands = held.enter_context(closing(RestCommands(url, held.enter_context(sandbox(url)))))
    commands.time("true", WARM_UP)
    about = "over REST, one command at a time on one connection"
    return Subject(name, about, lambda count: commands.time("true", count), samples)


def _baseline(commands: CommandSocket, samples: int) -> Subject:
    about = "likewise, the gateway of the other clone"
    return Subject("baseline", about, lambda count: commands.time("true", count), samples)


def _floor(commands: CommandSocket, samples: int) -> Subject:
    def sample(count: int) -> list[float]:
        try:
            return fork_floor.samples(commands.run(fork_floor.command(count)))
        except ValueError as error:
            raise BenchmarkFailed(f"the floor could not be measured: {error}") from error

    sample(WARM_UP)
    about = "fork and exec of the same shell, by a program in the sandbox"
    return Subject("floor", about, sample, samples)


def _exec_run(container: Container, samples: int) -> Subject:
    def sample(count: int) -> list[float]:
        return [_time_exec_run(container) for _ in range(count)]

    sample(EXEC_RUN_WARM_UP)
    about = "the docker SDK's exec_run in the same container"
    return Subject("exec_run", about, sample, max(2, samples // SAMPLES_PER_EXEC_RUN))


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
