"""Small questions on the socket: which commands are there, and is somebody there?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def test_list_tells_running_and_finished_commands(connection: Connection) -> None:
    """Who comes back without notes finds what to attach to."""
    connection.run("echo abc; exit 3", request_id="listed-done")
    connection.ask("sleep 30", request_id="listed-running", stream=True)
    assert connection.receive()["type"] == "started"
    connection.send({"type": "list"})
    listed = connection.receive()
    assert listed["type"] == "commands"
    by_id = {one["request_id"]: one for one in listed["commands"]}
    done, running = by_id["listed-done"], by_id["listed-running"]
    assert (done["status"], done["returncode"], done["stdout_bytes"]) == ("finished", 3, 4)
    assert (running["status"], running["returncode"]) == ("running", None)
    assert running["pid"] > 1
    assert running["command"] == "sleep 30"
    connection.send({"type": "signal", "request_id": "listed-running", "signal": "KILL"})
    assert connection.receive()["returncode"] == 137


def test_ping_is_answered(connection: Connection) -> None:
    """Browsers cannot send ping frames; this is how they learn that somebody is there."""
    connection.send({"type": "ping"})
    assert connection.receive() == {"type": "pong"}
    connection.send({"type": "ping", "request_id": "p"})
    assert connection.receive() == {"type": "pong", "request_id": "p"}
