"""`create`: from the request for a sandbox to the result of its first command.

From the warm pool, made cold, and what the engine alone needs for a container of the same image and
one exec in it. And a burst: fifty at once, against fifty at once by the engine alone.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.models.containers import Container

from gateway.sandboxes.create.container_names import POOL_PREFIX
from gateway.sandboxes.spec.container_labels import INSTANCE, SANDBOX_ID

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("pool", None, "at most", 25),
    Target("cold", "engine", "at most", 1.5),
    Target("burst", "engine_burst", "at most", 1.3),
)

BURST = 50
REFILL_S = 20.0
SETTLE_S = 1.5
"""After the pool is full: agents start, a taken container is renamed, a deleted one is cleared
away."""

_COLD = {"env": {"MADE": "cold"}}
"""An environment cannot be given to a container that runs already."""


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure the gateway and the engine in turn; a burst is one sample a round. Raises
    BenchmarkFailed."""
    with ExitStack() as held:
        client = held.enter_context(closing(docker.from_env(max_pool_size=2 * BURST)))
        gateway = _Gateway(gateways.measured, client)
        engine = _Engine(client, *gateway.made_from())
        subjects = [
            Subject("pool", "a sandbox from the pool and its first command", gateway.warm, samples),
            Subject("cold", "a sandbox that had to be made, likewise", gateway.cold, samples // 2),
            Subject(
                "engine", "docker run of the same image and one exec", engine.run, samples // 2
            ),
            Subject("burst", f"{BURST} sandboxes at once", lambda _: [gateway.burst()], 1),
            Subject("engine_burst", f"{BURST} containers at once", lambda _: [engine.burst()], 1),
        ]
        return measure(subjects, rounds, say)


class _Gateway:
    """Creates sandboxes and deletes them, the latter outside of what is timed."""

    def __init__(self, url: str, client: docker.DockerClient) -> None:
        self._url = url
        self._client = client
        self._instance = ""

    def made_from(self) -> tuple[str, str]:
        """Image and network of sandboxes. The first create also finds the instance."""
        sandbox_id = self._create()
        found = self._client.containers.list(filters={"label": f"{SANDBOX_ID}={sandbox_id}"})
        if not found:
            raise BenchmarkFailed("the sandbox is not on this machine's engine")
        self._instance = found[0].labels[INSTANCE]
        made = found[0].attrs
        self._delete([sandbox_id])
        return made["Config"]["Image"], made["HostConfig"]["NetworkMode"]

    def warm(self, count: int) -> list[float]:
        """Each one taken from a full pool. Raises BenchmarkFailed when it does not fill up."""
        return [self._timed({}, self._wait_for_pool) for _ in range(count)]

    def cold(self, count: int) -> list[float]:
        return [self._timed(_COLD, self._wait_for_pool) for _ in range(count)]

    def _timed(self, body: dict[str, Any], prepare: Callable[[], None]) -> float:
        prepare()
        started = time.perf_counter()
        sandbox_id = self._create(body)
        with closing(CommandSocket(self._url, sandbox_id)) as commands:
            commands.run("true")
            duration = time.perf_counter() - started
        self._delete([sandbox_id])
        return duration

    def burst(self) -> float:
        """Seconds until all have answered."""
        self._wait_for_pool()
        with ThreadPoolExecutor(BURST) as pool:
            started = time.perf_counter()
            ids = list(pool.map(lambda _: self._create(), range(BURST)))
            duration = time.perf_counter() - started
        self._delete(ids)
        return duration

    def _wait_for_pool(self) -> None:
        """Until it is full and nothing is being made: then nothing runs beside what is timed."""
        wanted = 2
        deadline = time.monotonic() + REFILL_S
        while time.monotonic() < deadline:
            found = self._client.api.containers(
                filters={"label": f"{INSTANCE}={self._instance}", "name": POOL_PREFIX}
            )
            if len(found) >= wanted:
                time.sleep(SETTLE_S)
                return
            time.sleep(0.05)
        raise BenchmarkFailed("the pool does not fill up")

    def _create(self, body: dict[str, Any] | None = None) -> str:
        # The standard library's client: a larger one's own time would count as the gateway's.
        address = urlsplit(self._url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", "/sandboxes", json.dumps(body or {}), headers)
            answer = connection.getresponse()
            said = answer.read()
        except OSError as error:
            raise BenchmarkFailed(f"no gateway answers at {self._url}: {error}") from error
        finally:
            connection.close()
        if answer.status != 201:
            raise BenchmarkFailed(f"no sandbox could be made: {answer.status} {said!r}")
        sandbox_id: str = json.loads(said)["sandbox_id"]
        return sandbox_id

    def _delete(self, ids: list[str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    lambda one: requests.delete(f"{self._url}/sandboxes/{one}", timeout=TIMEOUT_S),
                    ids,
                )
            )


class _Engine:
    """The same by the docker SDK alone: its calls, no process of the command line."""

    def __init__(self, client: docker.DockerClient, image: str, network: str) -> None:
        self._client = client
        self._image = image
        self._network = network

    def run(self, count: int) -> list[float]:
        return [self._timed() for _ in range(count)]

    def _timed(self) -> float:
        started = time.perf_counter()
        with self._container() as container:
            returncode, _output = container.exec_run(["/bin/bash", "-c", "true"])
            duration = time.perf_counter() - started
        if returncode != 0:
            raise BenchmarkFailed(f"exec_run ended with {returncode}")
        return duration

    def burst(self) -> float:
        """Seconds until all run."""
        with ThreadPoolExecutor(BURST) as pool, ExitStack() as held:
            started = time.perf_counter()
            list(pool.map(lambda _: held.enter_context(self._container()), range(BURST)))
            return time.perf_counter() - started

    @contextmanager
    def _container(self) -> Iterator[Container]:
        name = f"sandbox-gateway-bench-{secrets.token_hex(6)}"
        container = self._client.containers.run(
            self._image,
            ["sleep", "infinity"],
            name=name,
            detach=True,
            init=True,
            network=self._network,
        )
        try:
            yield container
        finally:
            container.remove(force=True, v=True)
