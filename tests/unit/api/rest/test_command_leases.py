"""What requests hold of a sandbox while they work in it, and when they let go."""

from __future__ import annotations

import gevent
import pytest
from flask.testing import FlaskClient

from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    AgentMissing,
    CommandLost,
    ContainerGone,
    FeatureMissing,
    LinkLost,
    TooManyCommands,
)
from gateway.use.sandbox_use import LINK_KEPT_S
from tests.unit.api.rest.fake_commands import FakeCommand, FakeCommands, FakeCommandWatcher
from tests.unit.api.rest.fakes import FakeSandboxes

RUN = "/sandboxes/a1/commands"


def test_a_request_that_waits_holds_a_lease_and_the_link(
    client: FlaskClient, sandbox: str, commands: FakeCommands, sandboxes: FakeSandboxes
) -> None:
    """A sandbox in use is not idle; and the link stays a while for the next request."""
    seen = []

    def script(command: FakeCommand) -> None:
        seen.append((len(sandboxes.leases), commands.users))
        command.end()

    commands.script = script
    client.post(RUN, json={"command": "x"})

    assert seen == [(1, 1)]
    assert commands.lingering == [LINK_KEPT_S]


@pytest.mark.parametrize("failure", [TooManyCommands("x"), FeatureMissing()])
def test_a_refused_command_leaves_nothing(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    sandboxes: FakeSandboxes,
    failure: Exception,
) -> None:
    """It was not started, so no lease is kept."""
    commands.failure = failure

    response = client.post(RUN, json={"command": "x", "background": True})

    assert response.status_code == {"too_many_commands": 429}.get(response.json["code"], 422)
    assert sandboxes.leases == []


def test_a_command_whose_end_is_unknown_may_still_run(
    client: FlaskClient, sandbox: str, commands: FakeCommands, watcher: FakeCommandWatcher
) -> None:
    """The lease stays until the sandbox itself says that nothing runs."""
    commands.script = lambda command: gevent.spawn(command.fail, CommandLost("the agent died"))

    response = client.post(RUN, json={"command": "x"})

    assert response.status_code == 502
    assert response.json["code"] == "command_lost"
    assert response.json["detail"] == "the agent died"
    assert len(watcher.kept) == 1


def test_what_the_engine_says_about_a_link_stays_in_the_log(
    client: FlaskClient, sandbox: str, commands: FakeCommands, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost link carries the engine's words, which name paths of the host."""
    commands.failure = LinkLost("/var/lib/secret is gone")

    response = client.get(RUN)

    assert response.status_code == 502
    assert "secret" not in response.text
    assert "secret" in caplog.text


@pytest.mark.parametrize("failure", [ContainerGone("x"), LinkLost("x"), AgentMissing("x")])
def test_a_sandbox_that_ends_meanwhile_is_404(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    sandboxes: FakeSandboxes,
    failure: Exception,
) -> None:
    """Not 503 with `Retry-After`: the same request will never succeed again."""

    def script(command: FakeCommand) -> None:
        del sandboxes.kept["a1"]
        command.fail(failure)

    commands.script = script

    response = client.post(RUN, json={"command": "x"})

    assert response.status_code == 404
    assert response.json["code"] == "sandbox_not_found"


def test_a_gateway_that_stops_answers_who_waits(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    watcher: FakeCommandWatcher,
    waiting: Waiting,
) -> None:
    """At once and with 503, and not when the command has ended or the server cuts it."""
    commands.script = lambda command: None
    gevent.spawn_later(0.05, waiting.close)

    response = client.post(RUN, json={"command": "sleep 1000"})

    assert response.status_code == 503
    assert response.json["code"] == "gateway_stopping"
    assert int(response.headers["Retry-After"]) > 0
    assert len(watcher.kept) == 1
    assert client.post(RUN, json={"command": "x"}).status_code == 503


def test_a_lease_that_cannot_be_released_is_not_lost(
    client: FlaskClient, sandbox: str, sandboxes: FakeSandboxes, watcher: FakeCommandWatcher
) -> None:
    """The answer is there already; whoever keeps leases tries again."""
    sandboxes.cannot_release = True

    assert client.post(RUN, json={"command": "x"}).status_code == 200
    assert len(watcher.kept) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/r"),
        ("GET", "/r/output"),
        ("POST", "/r/stdin"),
        ("POST", "/r/signal"),
    ],
)
@pytest.mark.parametrize("sandbox_id", ["b2", "..%5c..", "A"])
def test_an_unknown_sandbox_is_404(
    client: FlaskClient, commands: FakeCommands, method: str, path: str, sandbox_id: str
) -> None:
    """On every route, and nothing behind the edge hears of ids that cannot be."""
    body = {"command": "x"} if not path else {"signal": "INT"} if "signal" in path else {}
    response = client.open(
        f"/sandboxes/{sandbox_id}/commands{path}", method=method, json=body or None
    )

    assert response.status_code == 404
    assert response.json["code"] == "sandbox_not_found"
    assert commands.lingering == []
