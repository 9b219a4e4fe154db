"""An application with the REST edge over services in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from gateway.api import ports, rest, ws
from gateway.api.ports import routes as port_traffic
from gateway.api.ports.watch import OpenExchanges
from gateway.api.rest import port_routes
from gateway.api.rest.stoppable_waits import Waiting
from gateway.api.ws import routes
from gateway.api.ws.keep_alive import Connections
from gateway.contexts.context_links import ContextLinks
from gateway.contexts.service import Contexts
from gateway.errors import (
    AgentUnavailable,
    GatewayFull,
    TooManyConnections,
    TooManyExecutions,
    TooMuchQueued,
)
from gateway.files.file_links import FileLinks
from gateway.files.service import Files
from gateway.identity.access import Access
from gateway.identity.access_tokens import TokenSigner
from gateway.identity.key_source import KeySource
from gateway.identity.keys import line_of
from gateway.identity.rate_limits import RateLimits
from gateway.identity.slots import Slots
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.metrics import Metrics
from gateway.middleware import authentication, language, surfaces
from gateway.process.byte_budget import ByteBudget
from gateway.use.sandbox_use import SandboxUses
from tests.support.change_feeds import quiet_feed
from tests.support.keys import INLINE, NOBODYS
from tests.unit.api.rest.fake_commands import FakeCommands, FakeCommandWatcher
from tests.unit.api.rest.fake_tenancy import FakeTenancy
from tests.unit.api.rest.fakes import (
    CheckedClient,
    FakeMetrics,
    FakePorts,
    FakeReadiness,
    FakeSandbox,
    FakeSandboxes,
    FakeTokens,
    NoSnapshots,
    NoTemplates,
)

MAX_BODY_BYTES = 16 * 1024

_DOCUMENT = pytest.StashKey[str]()


def _no_files() -> Files:
    """Files of sandboxes that nobody can reach."""

    def dial(_container_id: str) -> Link:
        raise AgentUnavailable("there is no sandbox")

    held = ByteBudget(1000, 1000, own_full=TooMuchQueued, all_full=GatewayFull)
    return Files(FileLinks(Links(dial)), held, held)


def _no_contexts() -> Contexts:
    """Likewise, and nor can their code."""

    def dial(_container_id: str) -> Link:
        raise AgentUnavailable("there is no sandbox")

    held = ByteBudget(1000, 1000, own_full=TooMuchQueued, all_full=GatewayFull)
    return Contexts(ContextLinks(Links(dial)), held, Slots(10, TooManyExecutions), 10)


@pytest.fixture(autouse=True)
def _budget_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has one of its own: these ask faster than a worker may log
    (`gateway.logs.line_budget`)."""
    for bounded in (
        "middleware.problem_documents",
        "use.sandbox_use",
        "api.rest.server_sent_events",
    ):
        logger = logging.getLogger(f"gateway.{bounded}")
        monkeypatch.setattr(logger, "filters", [type(one)() for one in logger.filters])


@pytest.fixture(scope="session")
def _catalogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts, compiled once: that is a quarter of what an application takes to make."""
    directory = tmp_path_factory.mktemp("locale")
    language.compile_catalogues(directory)
    return directory


@pytest.fixture(scope="session", autouse=True)
def _builders_made_once() -> Iterator[None]:
    """werkzeug compiles for each route two functions that build its address, which is half of what
    an application takes to make. Those of a thousand tests are the same."""
    made: dict[object, Any] = {}
    make = Rule._compile_builder

    def made_once(rule: Rule, append_unknown: bool = True) -> Any:
        inputs = (tuple(rule._trace), repr(rule.defaults), append_unknown)
        if inputs not in made:
            made[inputs] = make(rule, append_unknown)
        return made[inputs]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", made_once)
        yield


@pytest.fixture
def sandboxes() -> FakeSandboxes:
    return FakeSandboxes()


@pytest.fixture
def sandbox(sandboxes: FakeSandboxes) -> str:
    """The id of a sandbox that is there."""
    sandboxes.kept["a1"] = FakeSandbox("a1")
    return "a1"


@pytest.fixture
def readiness() -> FakeReadiness:
    return FakeReadiness()


@pytest.fixture
def metrics() -> FakeMetrics:
    return FakeMetrics()


@pytest.fixture
def commands() -> FakeCommands:
    return FakeCommands()


@pytest.fixture
def watcher() -> FakeCommandWatcher:
    return FakeCommandWatcher()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    waiting = Waiting()
    yield waiting
    waiting.close()


@pytest.fixture
def app(
    sandboxes: FakeSandboxes,
    commands: FakeCommands,
    watcher: FakeCommandWatcher,
    readiness: FakeReadiness,
    metrics: FakeMetrics,
    waiting: Waiting,
    tmp_path: Path,
    _catalogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Flask]:
    app = Flask("gateway.app", static_folder=None)
    with monkeypatch.context() as compiled:
        compiled.setattr(language, "compile_catalogues", lambda _directory: None)
        language.install(app, _catalogues)
    surface = replace(rest.REST, max_body_bytes=MAX_BODY_BYTES)
    surfaces.install(app, surface)
    uses = SandboxUses(sandboxes, commands, watcher)
    rest.register(
        app,
        creation=sandboxes,
        sandboxes=sandboxes,
        changes=sandboxes,
        lifecycle=sandboxes,
        snapshots=NoSnapshots(),
        templates=NoTemplates(),
        commands=commands,
        files=_no_files(),
        contexts=_no_contexts(),
        max_output_bytes=1000,
        uses=uses,
        short_uses=uses,
        readiness=readiness,
        metrics=metrics,
        tokens=FakeTokens(),
        waiting=waiting,
        surface=surface,
    )
    # For the document and the errors; no test here opens a WebSocket.
    counted = Metrics(tmp_path / "metrics")
    connections = Connections(sandboxes, 25, quiet_feed())
    slots = Slots(10, TooManyConnections)
    held = ByteBudget(1000, 1000, own_full=TooMuchQueued, all_full=GatewayFull)
    ws.WS.register(
        app,
        routes.blueprint(
            sandboxes, commands, _no_files(), watcher, connections, counted, held, slots
        ),
    )
    surface.register(
        app,
        port_routes.blueprint(
            FakePorts(), uses, FakePorts.issue, ttl_s=60, longest_ttl_s=600, domains=["localhost"]
        ),
    )
    ports.PORTS.register(
        app, port_traffic.blueprint(FakePorts(), uses, slots, OpenExchanges(), counted, idle_s=60)
    )
    app.test_client_class = CheckedClient
    yield app
    counted.close()


@pytest.fixture
def tenancy(sandboxes: FakeSandboxes) -> FakeTenancy:
    """`a1` and `a2` are alice's, `b1` is bob's, `n1` nobody's."""
    tenancy = FakeTenancy()
    tenancy.owners = sandboxes.owners
    for sandbox_id, owner in (("a1", "alice"), ("a2", "alice"), ("b1", "bob"), ("n1", "")):
        sandboxes.kept[sandbox_id] = FakeSandbox(sandbox_id)
        tenancy.owners[sandbox_id] = owner
    return tenancy


@pytest.fixture
def access(tenancy: FakeTenancy, tmp_path: Path) -> Iterator[Access]:
    keys = tmp_path / "keys"
    keys.write_text(f"limited {line_of('limited', NOBODYS).split()[1]} rate=1/s")
    access = _access_of(KeySource(INLINE, keys), tenancy, tmp_path / "rates")
    yield access
    access.close()


@pytest.fixture
def client(
    app: Flask,
    sandboxes: FakeSandboxes,
    commands: FakeCommands,
    watcher: FakeCommandWatcher,
    tmp_path: Path,
) -> Iterator[CheckedClient]:
    """Of a gateway without keys. After the test nothing may be held any more but what is kept on
    purpose."""
    access = _access_of(KeySource(), FakeTenancy(), tmp_path / "no-rates")
    authentication.install(app, access)
    client = app.test_client()
    assert isinstance(client, CheckedClient)
    yield client
    assert sandboxes.leases == watcher.kept
    assert commands.users == 0
    assert commands.held == 0
    assert not any(followed.is_open for followed in commands.followed)
    access.close()


def _access_of(keys: KeySource, tenancy: FakeTenancy, rates: Path) -> Access:
    return Access(keys, TokenSigner(b"s" * 32), tenancy, tenancy, RateLimits(rates), 60)


@pytest.fixture
def document(request: pytest.FixtureRequest) -> Any:
    """What `/openapi.json` answers, asked for once, for it takes 0.3 s. Each test has a copy."""
    stash = request.config.stash
    if _DOCUMENT not in stash:
        stash[_DOCUMENT] = request.getfixturevalue("client").get("/openapi.json").text
    return json.loads(stash[_DOCUMENT])
