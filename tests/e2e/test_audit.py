"""What is written down, what never is, and what odd ids and headers cannot do to it."""

from __future__ import annotations

import json
import re
import socket
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, HANDSHAKE, INLINE, NOBODYS, bearer


def _audit(gateway: GatewayProcess) -> list[dict[str, Any]]:
    text = (gateway.data_dir / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


ODD_IDS = [
    "..",
    "%2e%2e%2fnetworks%2fbridge",
    "..%2f..%2fetc%2fpasswd",
    "a%00b",
    "a%0d%0aX-Injected:%20yes",
    "%1b%5b2J",
    "A" * 32,
    "sandbox-{id}",
    "{id}%20",
    "{id}%2f..%2f{id}",
    "{container}",
    "%e6%b2%99%e7%ae%b1",
    "*",
    "x" * 3000,
]


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: odd[:20])
def test_odd_ids_lead_nowhere(keyed: GatewayProcess, alices: str, odd: str) -> None:
    """Names and ids of containers, foreign ones too, and whatever an address can hold: 404 with a
    key, 401 without, on REST and before the upgrade."""
    container = keyed.engine.inspect(alices)["Id"]
    odd_id = odd.format(id=alices, container=container)
    for path, more in ((f"/sandboxes/{odd_id}", {}), (f"/ws/{odd_id}", HANDSHAKE)):
        for key, status in ((bearer(ALICE), 404), ({"Authorization": ""}, 401)):
            found, head, body = _raw_get(keyed, path, key | more)
            assert found == status, body
            assert "x-injected" not in head.lower()
            assert "\x1b" not in head + body
    assert keyed.status_of(alices) in ("idle", "connected")


def _raw_get(gateway: GatewayProcess, path: str, headers: dict[str, str]) -> tuple[int, str, str]:
    """(status, head, body), without a client that tidies the address up."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if "Connection" not in headers:
        lines += "Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode("latin-1"))
        answer = HTTPResponse(raw)
        answer.begin()
        body = answer.read().decode()
        head = "".join(f"{name}: {value}\n" for name, value in answer.getheaders())
    return answer.status, head, body


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer a\rX-Injected: yes",
        "Authorization: Bearer a\x00b",
        "Authorization: Bearer \x1b[2J\x1b]0;owned\x07",
        "X-API-Key: a\x0bb\x7f",
        "X-API-Key: \xff\xfe\xe9",
        "Authorization: Bearer\t" + "x" * 7000,
        "Sec-WebSocket-Protocol: bearer.\x1b[31m",
        "X-API-Key : spaced",
        "X-API-Key: first\r\nX-API-Key: second",
    ],
    ids=repr,
)
def test_control_characters_in_headers_get_nowhere(keyed: GatewayProcess, line: str) -> None:
    """No answer repeats them, no log line is forged, and it is never let in."""
    logged, noted = len(keyed.log()), len(_audit(keyed))
    with socket.create_connection(("127.0.0.1", keyed.port), timeout=30) as raw:
        head = "GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        raw.sendall(f"{head}{line}\r\n\r\n".encode("latin-1"))
        received = b""
        while piece := raw.recv(65536):
            received += piece

    assert re.match(rb"HTTP/1\.1 4\d\d ", received)
    assert b"X-Injected" not in received
    assert b"\x1b" not in received
    assert "\x1b" not in keyed.log()[logged:]
    for entry in _audit(keyed)[noted:]:
        assert entry["action"] == "denied"


def test_secrets_are_told_nobody(own_gateway: Any, tmp_path: Path) -> None:
    """Not in the log (at its most talkative, with an access log), not in the audit log, not in an
    error; after everything that can be done with them, rightly and wrongly."""
    gateway = own_gateway(api_keys=INLINE, log_level="debug", workers="1")
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    made = gateway.post("/sandboxes").json()
    path, tokens = f"/sandboxes/{made['sandbox_id']}", [made["access_token"]]
    tokens.append(gateway.post(f"{path}/token").json()["access_token"])
    said = []
    for secret in (ALICE, ALICE + "x", NOBODYS, *tokens, tokens[0] + "x"):
        for headers in (
            bearer(secret),
            {"X-API-Key": secret},
            {"Authorization": f"Basic {secret}"},
        ):
            for method, where in (
                ("GET", path),
                ("GET", "/nowhere"),
                ("POST", "/sandboxes/x/token"),
            ):
                said.append(gateway.request(method, where, headers=headers).text)
        try:
            with connect(gateway, made["sandbox_id"], subprotocols=[f"bearer.{secret}"]) as client:
                said.append(json.dumps(client.run("echo secret-in-a-command; cat /proc/1/environ")))
        except Refused as refused:
            said.append(refused.body.decode())
    gateway.delete(f"{path}/token")
    gateway.delete(path)

    written = gateway.log() + (gateway.data_dir / "audit.jsonl").read_text()
    assert len(written) > 1000
    for secret in (ALICE, BOB, NOBODYS, *tokens):
        assert secret not in written
        assert secret not in "".join(said)
    assert "secret-in-a-command" not in written
    stored = b"".join(p.read_bytes() for p in gateway.data_dir.rglob("*") if p.is_file())
    for secret in (ALICE, BOB, *tokens):
        assert secret.encode() not in stored


def test_the_audit_log_tells_a_sandboxes_story(keyed: GatewayProcess) -> None:
    """Create, connect, run, close, delete, and who was refused; over several workers."""
    sandbox_id = keyed.create()
    with connect(keyed, sandbox_id, header=bearer(ALICE)) as client:
        client.run("echo secret-command", request_id="r1\r\n\x1b[31m")
    keyed.get(f"/sandboxes/{sandbox_id}", headers=bearer(BOB))
    keyed.delete(f"/sandboxes/{sandbox_id}")

    def story() -> list[dict[str, Any]]:
        found = [entry for entry in _audit(keyed) if entry.get("sandbox_id") == sandbox_id]
        return sorted(found, key=lambda entry: entry["at"])

    eventually(lambda: "ws_close" in [entry["action"] for entry in story()])
    entries = story()
    assert {entry["action"] for entry in entries} == {
        *("create", "ws_connect", "command_start", "ws_close", "denied", "delete")
    }
    by_action = {entry["action"]: entry for entry in entries}
    assert by_action["denied"]["caller"] == "bob"
    assert by_action["denied"]["reason"] == "sandbox_not_found"
    assert by_action["command_start"]["request_id"] == "r1\r\n\x1b[31m"
    assert by_action["ws_close"]["duration_ms"] > 0
    for entry in entries:
        assert entry["client"] == "127.0.0.1"
    assert "secret-command" not in (keyed.data_dir / "audit.jsonl").read_text()
