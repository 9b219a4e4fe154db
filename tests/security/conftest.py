"""A sandbox of each isolation level; that of gVisor on an engine of its own. And one with root, in
which all that a test does is done as root."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess
from tests.support.gvisor_engine import GvisorEngine, engine_with_gvisor

LEVELS = ("standard", "strict", "gvisor", "root")
"""The last one is `standard`, made with root."""


@dataclass(frozen=True)
class Place:
    """Sandboxes of one level: where they are made, and one that tests share who leave it whole."""

    level: str
    gateway: GatewayProcess
    sandbox_id: str

    def create(self) -> str:
        """Another sandbox of this level."""
        return create(self.gateway, self.level)

    def connect(self, sandbox_id: str | None = None) -> Connection:
        """To the shared sandbox or to another of this level."""
        connection = connect(self.gateway, sandbox_id or self.sandbox_id)
        if self.level == "root":
            connection.ask = partial(connection.ask, user="root")  # type: ignore[method-assign]
        return connection

    def uid_in(self, sandbox_id: str) -> str:
        """The user that commands run as."""
        return "0" if self.level == "root" else self.gateway.engine.uid_of(sandbox_id)

    @property
    def uid(self) -> str:
        return self.uid_in(self.sandbox_id)

    def inspect(self) -> dict[str, Any]:
        return self.gateway.engine.inspect(self.sandbox_id)


def create(gateway: GatewayProcess, level: str) -> str:
    """The id of a new sandbox."""
    wanted = {"root": True} if level == "root" else {"isolation": level}
    answer = gateway.post("/sandboxes", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["sandbox_id"]


@pytest.fixture(scope="session")
def own_engine() -> Iterator[GvisorEngine]:
    """With the runtime runsc."""
    # Not in pytest's own directory: the path of a socket has at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="gateway-engine-", ignore_cleanup_errors=True) as path,
        engine_with_gvisor(Path(path)) as engine,
    ):
        yield engine


SMALL = {"workers": "1", "pool_size": "0", "memory_mb": "256", "pids": "128"}
"""So that bombs go off soon."""


@pytest.fixture(scope="session")
def runc_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """On the machine's engine."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("runc"), **SMALL, allow_root="1")
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def gvisor_gateway(
    own_engine: GvisorEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """On the engine with gVisor. That one sets no packet filter, so no bridge is made there."""
    offline = "--network=none" in own_engine.configuration.read_text()
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gvisor"),
        engine_url=own_engine.address,
        **SMALL,
        **({} if offline else {"network": "none"}),
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def places(request: pytest.FixtureRequest) -> Callable[[str], Place]:
    """Gives the place of a level; what it needs is started when it is first asked for."""
    made: dict[str, Place] = {}

    def place(level: str) -> Place:
        if level not in made:
            kind = "gvisor_gateway" if level == "gvisor" else "runc_gateway"
            gateway = request.getfixturevalue(kind)
            made[level] = Place(level, gateway, create(gateway, level))
        return made[level]

    return place


@pytest.fixture(params=LEVELS)
def place(request: pytest.FixtureRequest, places: Callable[[str], Place]) -> Place:
    """Each level in turn."""
    return places(request.param)


@pytest.fixture
def strict(places: Callable[[str], Place]) -> Place:
    return places("strict")


@pytest.fixture
def client(place: Place) -> Iterator[Connection]:
    """Into the shared sandbox of each level."""
    with place.connect() as connection:
        yield connection
