"""Section E of the faults, over the network: who has no right to be here gets nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app, runtime_of
from gateway.identity.keys import line_of
from gateway.settings import Settings
from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.eventually import always
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, HANDSHAKE, INLINE, NOBODYS, bearer
from tests.support.leak_oracle import leak_oracle
from tests.support.problems import check_problem, problem_of

NO_OAUTH = {
    "/.well-known/oauth-<path:_rest>",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/<path:_rest>",
}
"""Clients of MCP that were refused look there, without a key."""

OPEN = {"/healthz", "/openapi.json", "/docs", "/docs/assets/<name>"} | NO_OAUTH

UNKNOWN_ID = "0" * 32


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


def _as_header(library: str, headers: dict[str, str]) -> dict[str, Any]:
    """How a WebSocket library takes headers."""
    return {"additional_headers" if library == "websockets" else "header": headers}


def _path(rule: str, sandbox_id: str) -> str:
    path = rule.replace("<sandbox_id>", sandbox_id)
    return re.sub(r"<[^>]*>", "r1", path)


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


def test_a_gateway_with_keys_may_listen_everywhere(own_gateway: Any) -> None:
    """Nobody gets in without one, and names have to be configured."""
    gateway = own_gateway(api_keys=INLINE, host="0.0.0.0", workers="1", public_hosts="gw.example")
    gateway.headers = bearer(ALICE)
    gateway.start()

    problem_of(gateway.get("/sandboxes", headers={"Authorization": ""}), 401)
    assert gateway.get("/sandboxes").json() == []
    for host, status in (("gw.example", 200), ("192.0.2.1:80", 200), ("evil.example", 403)):
        assert gateway.get("/sandboxes", headers={"Host": host}).status_code == status


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


def test_lists_and_events_tell_of_the_own_sandboxes_only(keyed: GatewayProcess) -> None:
    """Nor do a place in the list and an idempotency key reach into another tenant's."""
    key = {"Idempotency-Key": "the same"}
    hers = keyed.post("/sandboxes", headers=key).json()["sandbox_id"]
    his = keyed.post("/sandboxes", headers=bearer(BOB) | key).json()["sandbox_id"]
    assert his != hers

    for who, own, others in ((ALICE, hers, his), (BOB, his, hers)):
        events = {event["sandbox_id"] for event in keyed.get("/events", headers=bearer(who)).json()}
        listed = {one["sandbox_id"] for one in keyed.get("/sandboxes", headers=bearer(who)).json()}
        for seen in (events, listed):
            assert own in seen
            assert others not in seen
        place = keyed.get(f"/sandboxes?after={others}", headers=bearer(who))
        unknown = keyed.get(f"/sandboxes?after={UNKNOWN_ID}", headers=bearer(who))
        assert (place.status_code, place.text) == (422, unknown.text)
    assert keyed.delete(f"/sandboxes/{his}", headers=bearer(BOB)).status_code == 200
    ended = keyed.get(f"/sandboxes/{his}", headers=bearer(BOB)).json()
    assert ended["ended"]["reason"] == "deleted"
    assert "ended" not in keyed.get(f"/sandboxes/{his}").json()


def test_what_a_key_may_have_is_limited(own_gateway: Any, tmp_path: Path) -> None:
    """All sandboxes of its name count, in every worker; another key is not touched."""
    keys = tmp_path / "keys"
    keys.write_text(f"{line_of('alice', ALICE)} max_sandboxes=1\n{line_of('bob', BOB)}\n")
    gateway = own_gateway(api_keys_file=str(keys))
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    sandbox_id = gateway.create()

    problem = problem_of(gateway.post("/sandboxes"), 429)
    assert problem["code"] == "too_many_sandboxes"
    assert gateway.post("/sandboxes", headers=bearer(BOB)).status_code == 201
    gateway.delete(f"/sandboxes/{sandbox_id}")
    assert gateway.post("/sandboxes").status_code == 201
