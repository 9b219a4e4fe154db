"""Gateways and sandboxes for the tests that need a Docker Engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.support import clients, raw_websocket
from tests.support.gateway_process import GatewayProcess
from tests.support.own_engine import OwnEngine
from tests.support.spreading import SpreadScheduling

# A machine that runs containers at the same time is no place to measure milliseconds.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the engine, by folder, so that no module can forget to, and what needs
    PostgreSQL. Of several processes none shall be left alone with something long at the end: that
    begins first."""
    for item in items:
        if _ON_THE_ENGINE & set(item.path.parts):
            item.add_marker(pytest.mark.engine)
        if _is_over_postgresql(item):
            item.add_marker(pytest.mark.postgresql)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


_ON_THE_ENGINE = {
    *("code_contexts", "e2b", "e2e", "faults", "lifecycle", "mcp", "ports", "security", "soak"),
}

_LONG_FILES_FIRST = ("soak", "faults", "security", "lifecycle")
"""Folders, by how long their longest file takes: minutes, of which most are waits."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SpreadScheduling | None:
    """`--dist loadfile`, by which one file's tests share their fixtures, with exceptions."""
    return SpreadScheduling(config, log) if config.getoption("dist") == "loadfile" else None


_LONG_UNIT_FILES_FIRST = (
    *("test_store.py", "test_allowance.py", "test_admission_controller.py"),
    *("test_store_postgresql.py", "test_start.py", "test_store_upgrade.py"),
)
"""Of the tests without the engine, which come last: 10 to 30 s each, and the others one or two."""


def _turn(item: pytest.Item) -> tuple[bool, int]:
    is_quick = item.get_closest_marker("engine") is None
    if is_quick:
        return is_quick, item.path.name not in _LONG_UNIT_FILES_FIRST
    folders = [n for n, name in enumerate(_LONG_FILES_FIRST) if name in item.path.parts]
    return is_quick, min(folders, default=len(_LONG_FILES_FIRST))


def _is_over_postgresql(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("place") == "postgresql" or "postgres_server" in item.fixturenames


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know that their test failed, so that they can show the gateway's log."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(autouse=True)
def _no_connection_outlives_its_test() -> Iterator[None]:
    """A socket that is left to the garbage collector warns in some other test."""
    yield
    clients.close_all()
    raw_websocket.close_all()


@pytest.fixture(scope="session")
def default_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway with two workers and default settings (a warm pool of two among them) for all
    tests that leave it whole."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("shared-gateway"), pool_size="2")
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def shared_gateway(default_gateway: GatewayProcess) -> GatewayProcess:
    """The one that a folder or a module shares."""
    return default_gateway


@pytest.fixture(scope="session")
def offline_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Another one, whose sandboxes have no network: an engine makes and removes such a one for half
    of the processor time (0.49 s instead of 0.89). Folders and modules that test nothing of a
    network put it in the place of `shared_gateway`."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("offline-gateway"), pool_size="2", network="none"
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="session")
def code_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One whose sandboxes may be made for code, one of which stands ready with its kernel."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("code-gateway"),
        pool_size="1",
        templates="code-interpreter",
        pool_images="code-interpreter",
        network="none",
        max_contexts="12",
        cpus="2",
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture
def gateway(
    shared_gateway: GatewayProcess, request: pytest.FixtureRequest
) -> Iterator[GatewayProcess]:
    """The shared gateway; what it logs while a test fails is shown."""
    logged = len(shared_gateway.log())
    yield shared_gateway
    if request.node.stash.get(_FAILED, False):
        print(f"--- gateway's log ---\n{shared_gateway.log()[logged:][-8000:]}")


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """Those of `own_gateway` where a test says nothing else. Folders and modules that test nothing
    of a network put `network="none"` here, for the reason of `offline_gateway`."""
    return {}


@pytest.fixture
def own_gateway(
    tmp_path: Path, request: pytest.FixtureRequest, settings_of_own_gateways: dict[str, str]
) -> Iterator[Callable[..., GatewayProcess]]:
    """Makes gateways, not started yet, that this test may configure, kill and restart."""
    made: list[GatewayProcess] = []

    def make(*, engine_url: str | None = None, **settings: str) -> GatewayProcess:
        directory = tmp_path / f"gateway-{len(made)}"
        directory.mkdir()
        settings = settings_of_own_gateways | settings
        made.append(GatewayProcess(directory, engine_url=engine_url, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()
        if request.node.stash.get(_FAILED, False):
            print(f"--- gateway's log ---\n{gateway.log()[-8000:]}")


@pytest.fixture(scope="session")
def engine_of_its_own() -> Iterator[OwnEngine]:
    """An engine that tests may stop, kill and let hang. They leave it as they please: who uses it
    begins with `start`."""
    engine = OwnEngine()
    try:
        engine.open()
        yield engine
    finally:
        engine.close()


@pytest.fixture
def sandbox(gateway: GatewayProcess) -> Iterator[str]:
    """The id of a sandbox in the shared gateway, for one test."""
    sandbox_id = gateway.create()
    yield sandbox_id
    gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.fixture(scope="module")
def module_sandbox(shared_gateway: GatewayProcess) -> Iterator[str]:
    """The id of a sandbox in the shared gateway, for all tests of a module that only run
    commands and leave nothing running."""
    sandbox_id = shared_gateway.create()
    yield sandbox_id
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")
