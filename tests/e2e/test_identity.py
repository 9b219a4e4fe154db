"""Section E of the faults, over the network: who has no right to be here gets nowhere."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app, runtime_of
from gateway.identity.keys import line_of
from gateway.settings import Settings
from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, NOBODYS, bearer
from tests.support.leak_oracle import leak_oracle
from tests.support.problems import check_problem, problem_of

OPEN = {"/healthz", "/openapi.json", "/docs", "/docs/assets/<name>"}

UNKNOWN_ID = "0" * 32


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with two tenants, asked in alice's name unless a test says otherwise."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("keyed"), api_keys=INLINE)
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def alices(keyed: GatewayProcess) -> str:
    """A sandbox of alice's."""
    return keyed.create()


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str], bool]]:
    """All routes of the real application: rule, methods, whether it is a WebSocket."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("rules"), audit_log="off"))
    found = [
        (rule.rule, sorted((rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}), rule.websocket)
        for rule in app.url_map.iter_rules()
    ]
    runtime_of(app).close()
    runtime_of(app).release()
    return found


def _audit(gateway: GatewayProcess) -> list[dict[str, Any]]:
    text = (gateway.data_dir / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _as_header(library: str, headers: dict[str, str]) -> dict[str, Any]:
    """How a WebSocket library takes headers."""
    return {"additional_headers" if library == "websockets" else "header": headers}


def _path(rule: str, sandbox_id: str) -> str:
    path = rule.replace("<sandbox_id>", sandbox_id)
    return re.sub(r"<[^>]*>", "r1", path)


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        bearer(NOBODYS),
        bearer("sgt_x.y"),
        {"X-API-Key": "wrong"},
        {"Authorization": "", "Cookie": f"key={ALICE}"},
        {"Authorization": "", "Sec-WebSocket-Protocol": "bearer.wrong"},
    ],
    ids=["none", "unknown", "forged", "header", "cookie", "subprotocol"],
)
def test_without_a_valid_key_every_route_is_closed(
    keyed: GatewayProcess,
    alices: str,
    rules: list[tuple[str, list[str], bool]],
    headers: dict[str, str],
) -> None:
    """Over HTTP and before the WebSocket upgrade; and nothing has happened."""
    before = keyed.get(f"/sandboxes/{alices}").json(), keyed.listed()
    for rule, methods, is_websocket in rules:
        if rule in OPEN:
            continue
        for method in methods:
            asked = headers | (HANDSHAKE if is_websocket else {})
            answer = keyed.request(method, _path(rule, alices), headers=asked)
            problem = problem_of(answer, 401)
            assert problem["code"] == "unauthorized"
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert ALICE not in answer.text

    assert (keyed.get(f"/sandboxes/{alices}").json(), keyed.listed()) == before


def test_the_open_routes_are_open(keyed: GatewayProcess) -> None:
    """Load balancers and people look there first."""
    for path in ("/healthz", "/openapi.json", "/docs", "/docs/assets/docs.css"):
        assert keyed.get(path, headers={"Authorization": ""}).status_code == 200
    assert keyed.get("/openapi.json").json()["security"] == [{"bearer": []}, {"apiKey": []}]


def test_another_tenants_sandbox_is_not_there(
    keyed: GatewayProcess, alices: str, rules: list[tuple[str, list[str], bool]]
) -> None:
    """On every route, as an unknown one: same status, same body but for the id."""
    for rule, methods, is_websocket in rules:
        if "<sandbox_id>" not in rule:
            continue
        for method in methods:
            asked = bearer(BOB) | (HANDSHAKE if is_websocket else {})
            theirs, unknown = (
                keyed.request(method, _path(rule, one), headers=asked)
                for one in (alices, UNKNOWN_ID)
            )
            problem_of(theirs, 404)
            assert theirs.text.replace(alices, "ID") == unknown.text.replace(UNKNOWN_ID, "ID")
            assert {*theirs.headers} == {*unknown.headers}

    assert keyed.get("/sandboxes", headers=bearer(BOB)).json() == []
    assert keyed.get(f"/sandboxes/{alices}").status_code == 200


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_key_opens_a_websocket(keyed: GatewayProcess, alices: str, library: str) -> None:
    """In either header."""
    for headers in (bearer(ALICE), {"X-API-Key": ALICE}):
        with connect(keyed, alices, library, **_as_header(library, headers)) as client:
            assert client.output_of("echo welcome") == "welcome\n"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("suffix", ["", "/terminal"])
def test_wrong_keys_open_no_websocket(
    keyed: GatewayProcess, alices: str, library: str, suffix: str
) -> None:
    """Refused over HTTP, and the sandbox never becomes `connected`."""
    for headers, status in (({}, 401), (bearer(NOBODYS), 401), (bearer(BOB), 404)):
        with pytest.raises(Refused) as refused:
            connect(keyed, alices + suffix, library, **_as_header(library, headers))
        assert refused.value.status == status
        check_problem(refused.value.headers["content-type"], refused.value.body, status)
    always(lambda: keyed.status_of(alices) == "idle", for_s=0.5)


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


def test_keys_are_rotated_without_a_restart(own_gateway: Any, tmp_path: Path) -> None:
    """In every worker within two seconds. The sandbox stays the tenant's, the old key's
    connections end, and a broken file changes nothing but the log."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("alice", ALICE) + "\n")
    gateway = own_gateway(api_keys_file=str(keys))
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    sandbox_id = gateway.create()
    path = f"/sandboxes/{sandbox_id}"
    client = connect(gateway, sandbox_id, header=bearer(ALICE))
    assert client.output_of("echo in") == "in\n"

    def statuses(key: str) -> set[int]:
        return {gateway.get(path, headers=bearer(key)).status_code for _ in range(8)}

    keys.write_text(f"{line_of('alice', ALICE)}\n{line_of('alice', NOBODYS)}\n")
    eventually(lambda: statuses(NOBODYS) == {200}, within_s=5)
    assert statuses(ALICE) == {200}

    replacement = tmp_path / "replacement"
    replacement.write_text(line_of("alice", NOBODYS) + "\n")
    os.replace(replacement, keys)
    eventually(lambda: statuses(ALICE) == {401}, within_s=5)
    assert statuses(NOBODYS) == {200}
    assert client.read_to_close(within_s=5) == ([], 1008)

    keys.write_text("alice sha256:oops\n")

    def reported() -> bool:
        assert statuses(NOBODYS) == {200}
        return "the old keys stay valid" in gateway.log()

    eventually(reported, within_s=5)
    keys.unlink()
    always(lambda: statuses(NOBODYS) == {200}, for_s=1.5)
    assert gateway.get("/healthz").status_code == 200


def test_the_request_rate_holds_over_all_workers(own_gateway: Any, tmp_path: Path) -> None:
    """Exactly what the limit allows, whichever worker is asked; other keys are not slowed."""
    keys = tmp_path / "keys"
    keys.write_text(f"{line_of('alice', ALICE)} rate=5/s\n{line_of('bob', BOB)}\n")
    gateway = own_gateway(api_keys_file=str(keys), workers="3")
    gateway.start()

    begun = time.monotonic()
    answers = [gateway.get("/sandboxes", headers=bearer(ALICE)) for _ in range(40)]
    took_s = time.monotonic() - begun

    served = [answer for answer in answers if answer.status_code == 200]
    assert 5 <= len(served) <= 5 + 5 * took_s + 1
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    for answer in refused:
        assert problem_of(answer, 429)["code"] == "rate_limited"
        assert answer.headers["Retry-After"] == "1"
    assert {gateway.get("/sandboxes", headers=bearer(BOB)).status_code for _ in range(20)} == {200}
    time.sleep(1.1)  # what Retry-After has said
    assert gateway.get("/sandboxes", headers=bearer(ALICE)).status_code == 200


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


def test_refusals_leave_nothing_behind(keyed: GatewayProcess, alices: str) -> None:
    """Thousands of wrong keys, on both protocols: no descriptor, no lease, no memory; and the
    audit log stays small."""
    connect(keyed, alices, header=bearer(ALICE)).close()
    size = (keyed.data_dir / "audit.jsonl").stat().st_size
    with leak_oracle(keyed):
        for number in range(600):
            path = f"/sandboxes/{alices}" if number % 2 else f"/ws/{alices}"
            more = {} if number % 2 else HANDSHAKE
            answer = keyed.get(path, headers=bearer(f"{NOBODYS}{number}") | more)
            assert answer.status_code == 401
    assert keyed.status_of(alices) == "idle"
    grown = (keyed.data_dir / "audit.jsonl").stat().st_size - size
    assert grown < 600 * 200


def test_a_gateway_with_keys_may_listen_everywhere(own_gateway: Any) -> None:
    """Nobody gets in without one, and names have to be configured."""
    gateway = own_gateway(api_keys=INLINE, host="0.0.0.0", workers="1", public_hosts="gw.example")
    gateway.headers = bearer(ALICE)
    gateway.start()

    problem_of(gateway.get("/sandboxes", headers={"Authorization": ""}), 401)
    assert gateway.get("/sandboxes").json() == []
    for host, status in (("gw.example", 200), ("192.0.2.1:80", 200), ("evil.example", 403)):
        assert gateway.get("/sandboxes", headers={"Host": host}).status_code == status


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
