"""Access tokens: one sandbox, for a while, until they are revoked; and as browsers pass them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, INLINE, bearer
from tests.support.problems import problem_of


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_browser_passes_its_token_as_a_subprotocol(
    keyed: GatewayProcess, alices: str, library: str
) -> None:
    """The handshake answers with it (RFC 6455), else browsers close the connection."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    offered = ["chat", f"bearer.{token}"]

    with connect(keyed, alices, library, subprotocols=offered) as client:
        selected = client.client.socket.subprotocol
        # websocket-client makes it lower case.
        assert selected == (offered[1] if library == "websockets" else offered[1].lower())
        assert client.output_of("echo welcome") == "welcome\n"
    for wrong in (["chat"], [f"bearer.{token}x"], [token], ["bearer."]):
        with pytest.raises(Refused) as refused:
            connect(keyed, alices, library, subprotocols=wrong)
        assert refused.value.status == 401


def test_a_token_opens_its_sandbox_only(keyed: GatewayProcess, alices: str) -> None:
    """What create returns, too."""
    made = keyed.post("/sandboxes")
    token, sandbox_id = made.json()["access_token"], made.json()["sandbox_id"]
    assert re.fullmatch(r"[A-Za-z0-9._-]+", token)
    asked = {"headers": bearer(token)}

    assert keyed.get(f"/sandboxes/{sandbox_id}", **asked).status_code == 200
    ran = keyed.post(f"/sandboxes/{sandbox_id}/commands", json={"command": "echo hi"}, **asked)
    assert ran.json()["output"] == "hi\n"
    problem_of(keyed.get(f"/sandboxes/{alices}", **asked), 404)
    problem_of(keyed.delete(f"/sandboxes/{alices}", **asked), 404)
    for method, path in (("GET", "/sandboxes"), ("POST", "/sandboxes"), ("GET", "/readyz")):
        assert problem_of(keyed.request(method, path, **asked), 403)["code"] == "forbidden"
    problem_of(keyed.post(f"/sandboxes/{sandbox_id}/token", **asked), 403)
    assert keyed.delete(f"/sandboxes/{sandbox_id}", **asked).status_code == 200
    problem_of(keyed.get(f"/sandboxes/{sandbox_id}", **asked), 404)


def test_a_revoked_token_is_worthless_in_every_worker(keyed: GatewayProcess, alices: str) -> None:
    """And whoever is connected with it is out within seconds; whoever has the key stays."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    by_token = connect(keyed, alices, subprotocols=[f"bearer.{token}"])
    by_key = connect(keyed, alices, header=bearer(ALICE))
    assert by_token.output_of("echo in") == "in\n"

    assert keyed.delete(f"/sandboxes/{alices}/token").status_code == 204

    for _ in range(6):
        problem_of(keyed.get(f"/sandboxes/{alices}", headers=bearer(token)), 401)
    assert by_token.read_to_close(within_s=5) == ([], 1008)
    assert by_key.output_of("echo still in") == "still in\n"
    fresh = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    assert keyed.get(f"/sandboxes/{alices}", headers=bearer(fresh)).status_code == 200


def test_whoever_follows_events_is_out_as_well(keyed: GatewayProcess, alices: str) -> None:
    """A stream of events could go on for hours; the command does."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    path = f"/sandboxes/{alices}/commands"
    run = {"command": "while sleep 0.2; do date; done", "request_id": "dates", "background": True}
    assert keyed.post(path, json=run).status_code == 202
    asked = bearer(token) | {"Accept": "text/event-stream"}
    with keyed.get(f"{path}/dates/output", headers=asked, stream=True) as events:
        lines = events.iter_lines()
        for _ in range(20):
            next(lines)
        keyed.delete(f"/sandboxes/{alices}/token")
        begun = time.monotonic()
        rest = list(lines)
        assert time.monotonic() - begun < 5
    assert b"event: result" not in rest
    assert keyed.get(f"{path}/dates").json()["status"] == "running"
    keyed.post(f"{path}/dates/signal", json={"signal": "KILL"})


def test_a_token_expires(own_gateway: Any) -> None:
    """On HTTP and on the open WebSocket, without anybody's doing. It survives a killed gateway
    until then."""
    gateway = own_gateway(api_keys=INLINE, token_ttl="6")
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    made = gateway.post("/sandboxes").json()
    path, token = f"/sandboxes/{made['sandbox_id']}", made["access_token"]
    gateway.kill()
    gateway.start()

    fresh = gateway.post(f"{path}/token").json()
    assert abs(fresh["expires_at"] - time.time() - 6) < 2
    client = connect(gateway, made["sandbox_id"], subprotocols=[f"bearer.{fresh['access_token']}"])
    assert client.output_of("echo in") == "in\n"
    assert client.read_to_close(within_s=15) == ([], 1008)
    for expired in (token, fresh["access_token"]):
        problem_of(gateway.get(path, headers=bearer(expired)), 401)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_foreign_page_gets_no_websocket_even_with_a_token(
    keyed: GatewayProcess, alices: str, library: str
) -> None:
    """A page that got hold of one must still be of a configured origin. Another port is another
    origin: a server of a sandbox's, or of another user."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    for page in ("http://evil.example", f"http://localhost:{keyed.port + 1}", "null"):
        with pytest.raises(Refused) as refused:
            connect(keyed, alices, library, subprotocols=[f"bearer.{token}"], origin=page)
        assert refused.value.status == 403


def test_without_keys_a_subprotocol_is_selected_too(gateway: GatewayProcess, sandbox: str) -> None:
    """A page written for a gateway with keys works on one without."""
    with connect(gateway, sandbox, subprotocols=["bearer.anything"]) as client:
        assert client.client.socket.subprotocol == "bearer.anything"
        assert client.output_of("echo in") == "in\n"
    with connect(gateway, sandbox, "websockets", subprotocols=["chat"]) as client:
        assert client.client.socket.subprotocol is None
