"""E2B's control plane, byte by byte: what its SDKs rely on, and bad input."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
import requests

from tests.support.e2b_sdks import KEYS, key_header
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

ALICE = key_header()
BOB = key_header("bob")
UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def made(e2b_gateway: GatewayProcess) -> Iterator[dict[str, str]]:
    """A sandbox that auto-pauses, and is woken by traffic."""
    body = {
        "templateID": "base",
        "timeout": 600,
        "metadata": {"team": "blue", "ключ": "a b%+&="},
        "envVars": {"STAGE": "test"},
        "autoPause": True,
        "autoResume": {"enabled": True},
        "secure": True,
        "fieldOfTomorrow": 1,
    }
    answer = e2b_gateway.post("/v2/sandboxes", json=body, headers=ALICE)
    assert answer.status_code == 201, answer.text
    yield answer.json()
    e2b_gateway.delete(f"/sandboxes/{answer.json()['sandboxID']}", headers=ALICE)


def _detail(gateway: GatewayProcess, sandbox_id: str) -> dict[str, object]:
    answer = gateway.get(f"/sandboxes/{sandbox_id}", headers=ALICE)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _ends_in(gateway: GatewayProcess, sandbox_id: str) -> float:
    said = str(_detail(gateway, sandbox_id)["endAt"])
    return datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp() - time.time()


def test_a_create_says_all_that_an_sdk_needs(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """The token opens the data plane, the domain makes names of hosts."""
    assert {"templateID", "sandboxID", "clientID", "envdVersion"} <= made.keys()
    assert made["envdVersion"] == "0.6.4"
    assert made["domain"] == f"localhost:{e2b_gateway.port}" or made["domain"].endswith(
        f":{e2b_gateway.port}"
    )
    assert made["envdAccessToken"].startswith(made["sandboxID"])


def test_the_native_api_shows_it(e2b_gateway: GatewayProcess, made: dict[str, str]) -> None:
    """With its metadata as labels, as far as they can be; and the other way round."""
    shown = e2b_gateway.get(f"/sandboxes/{made['sandboxID']}").json()
    native = e2b_gateway.create(labels={"made": "natively"})
    try:
        listed = e2b_gateway.get("/v2/sandboxes?metadata=made%3Dnatively", headers=ALICE).json()
        connected = e2b_gateway.post(f"/sandboxes/{native}/connect", json={}, headers=ALICE)
    finally:
        e2b_gateway.delete(f"/sandboxes/{native}")

    assert shown["labels"] == {"team": "blue"}
    assert (shown["timeout"], shown["timeout_action"]) == (600.0, "pause")
    assert shown["idle_timeout"] > 300 * 86400
    assert [one["sandboxID"] for one in listed] == [native]
    assert connected.status_code == 200
    assert connected.json()["envdAccessToken"].startswith(native)


def test_the_detail_has_its_required_fields(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """Generated parsers end with a KeyError where one is missing."""
    detail = _detail(e2b_gateway, made["sandboxID"])

    for name in ("cpuCount", "memoryMB", "diskSizeMB"):
        assert isinstance(detail[name], int)
    assert detail["state"] == "running"
    assert detail["metadata"] == {"team": "blue", "ключ": "a b%+&="}
    assert detail["lifecycle"] == {"autoResume": True, "onTimeout": "pause"}
    assert detail["envdAccessToken"] == made["envdAccessToken"]
    assert _detail(e2b_gateway, made["sandboxID"])["endAt"] == detail["endAt"]


def test_ends_move_only_as_they_are_moved(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """`timeout` either way, a connect and a refresh only later."""
    path, sandbox_id = f"/sandboxes/{made['sandboxID']}", made["sandboxID"]
    told = []
    for address, body in (
        (f"{path}/timeout", {"timeout": 100}),
        (f"{path}/connect", {"timeout": 50}),
        (f"/v2{path}/connect", {}),
        (f"/v2{path}/connect", {"timeout": 200}),
        (f"{path}/refreshes", {"duration": 60}),
        (f"{path}/refreshes", {"duration": 300}),
        (f"{path}/timeout", {"timeout": 500}),
    ):
        answer = e2b_gateway.post(address, json=body, headers=ALICE)
        assert answer.status_code in (200, 204), answer.text
        told.append(_ends_in(e2b_gateway, sandbox_id))

    assert told == pytest.approx([100, 100, 100, 200, 200, 300, 500], abs=10)


def test_a_paused_sandbox_has_no_end_and_is_not_there(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """A second pause is 409; traffic wakes it, since it was made so; its token stays the same."""
    path = f"/sandboxes/{made['sandboxID']}"
    first = e2b_gateway.post(f"{path}/pause", json={}, headers=ALICE)
    second = e2b_gateway.post(f"{path}/pause", headers=ALICE)
    paused = _detail(e2b_gateway, made["sandboxID"])
    timed = e2b_gateway.post(f"{path}/timeout", json={"timeout": 5}, headers=ALICE)
    in_list = e2b_gateway.get("/v2/sandboxes?state=paused", headers=ALICE).json()
    woken = e2b_gateway.get("/health", headers={"E2b-Sandbox-Id": made["sandboxID"]})
    running = _detail(e2b_gateway, made["sandboxID"])
    again = e2b_gateway.post(f"{path}/pause", headers=ALICE)
    resumed = e2b_gateway.post(f"{path}/resume", json={"timeout": 333}, headers=ALICE)

    assert (first.status_code, second.status_code, again.status_code) == (204, 409, 204)
    assert second.json()["code"] == 409
    assert (paused["state"], timed.status_code) == ("paused", 404)
    assert [one["sandboxID"] for one in in_list] == [made["sandboxID"]]
    assert woken.status_code == 204
    assert running["state"] == "running"
    assert resumed.status_code == 201
    assert resumed.json()["envdAccessToken"] == made["envdAccessToken"]
    assert _ends_in(e2b_gateway, made["sandboxID"]) == pytest.approx(333, abs=10)


def test_a_lifetime_that_is_over_pauses(e2b_gateway: GatewayProcess, made: dict[str, str]) -> None:
    """`autoPause`; 0 does it at once, 1 in a second; a connect resumes it."""
    path = f"/sandboxes/{made['sandboxID']}"
    at_once = e2b_gateway.post(f"{path}/timeout", json={"timeout": 0}, headers=ALICE)
    state = _detail(e2b_gateway, made["sandboxID"])["state"]
    back = e2b_gateway.post(f"{path}/connect", json={"timeout": 1}, headers=ALICE)
    eventually(lambda: _detail(e2b_gateway, made["sandboxID"])["state"] == "paused", within_s=15)
    e2b_gateway.post(f"{path}/connect", json={"timeout": 600}, headers=ALICE)

    assert (at_once.status_code, state, back.status_code) == (204, "paused", 201)


def test_lists_are_filtered_and_paged(e2b_gateway: GatewayProcess, made: dict[str, str]) -> None:
    """Newest first, unless it is asked otherwise."""
    started = str(_detail(e2b_gateway, made["sandboxID"])["startedAt"])
    body = {"templateID": "base", "timeout": 60, "metadata": {"page": "yes"}}
    others = [
        e2b_gateway.post("/sandboxes", json=body, headers=ALICE).json()["sandboxID"]
        for _ in range(2)
    ]

    def ids(query: str) -> list[str]:
        answer = e2b_gateway.get(f"/v2/sandboxes?{query}", headers=ALICE)
        assert answer.status_code == 200, answer.text
        return [one["sandboxID"] for one in answer.json()]

    try:
        page = e2b_gateway.get("/v2/sandboxes?limit=2", headers=ALICE)
        token = page.headers["X-Next-Token"]
        rest = e2b_gateway.get(f"/v2/sandboxes?limit=2&nextToken={token}", headers=ALICE)
        assert [one["sandboxID"] for one in page.json()] == others[::-1]
        assert [one["sandboxID"] for one in rest.json()] == [made["sandboxID"]]
        assert "X-Next-Token" not in rest.headers
        assert ids("order=asc") == [made["sandboxID"], *others]
        assert ids("metadata=page%3Dyes&order=asc") == others
        assert ids("metadata=team%3Dred") == []
        assert made["sandboxID"] in ids(f"startedAfter={started}")
        assert ids("startedAfter=2199-01-01T00:00:00Z") == []
        assert ids("template=nope") == []
        assert ids("template=base&state=running,paused&order=asc") == [made["sandboxID"], *others]
        assert e2b_gateway.get("/v2/sandboxes", headers=BOB).json() == []
    finally:
        for other in others:
            e2b_gateway.delete(f"/sandboxes/{other}", headers=ALICE)


def test_a_snapshot_is_a_template(e2b_gateway: GatewayProcess, made: dict[str, str]) -> None:
    """Found by name, listed, forked from, and gone when it is deleted."""
    path = f"/sandboxes/{made['sandboxID']}"
    taken = e2b_gateway.post(f"{path}/snapshots", json={"name": "e2b-snap"}, headers=ALICE)
    assert taken.status_code == 201, taken.text
    snapshot_id = taken.json()["snapshotID"]
    alias = "/templates/aliases/e2b-snap"
    made_of = e2b_gateway.post(
        "/v2/sandboxes", json={"templateID": "e2b-snap", "timeout": 60}, headers=ALICE
    )
    found = e2b_gateway.get(alias, headers=ALICE)
    hidden = e2b_gateway.get(alias, headers=BOB)
    listed = e2b_gateway.get(f"/snapshots?sandboxID={made['sandboxID']}", headers=ALICE).json()
    forked = e2b_gateway.post(f"{path}/fork", json={"count": 2, "timeout": 60}, headers=ALICE)
    forks = [one["sandbox"]["sandboxID"] for one in forked.json()]
    look = {"command": "echo $STAGE"}
    staged = e2b_gateway.post(f"/sandboxes/{forks[0]}/commands", json=look).json()["output"]
    gone = e2b_gateway.delete(f"/templates/{snapshot_id}%3Adefault", headers=ALICE)
    twice = e2b_gateway.delete(f"/templates/{snapshot_id}", headers=ALICE)
    for one in [made_of.json(), *(fork["sandbox"] for fork in forked.json())]:
        assert e2b_gateway.delete(f"/sandboxes/{one['sandboxID']}", headers=ALICE).ok

    assert staged == "test\n"
    assert taken.json()["names"] == ["e2b-snap"]
    assert (made_of.status_code, forked.status_code) == (201, 201)
    assert (found.status_code, hidden.status_code) == (200, 404)
    assert listed == [taken.json()]
    assert (gone.status_code, twice.status_code) == (204, 404)


def test_one_idempotency_key_is_one_sandbox(e2b_gateway: GatewayProcess) -> None:
    """Newer SDKs try a create again by themselves."""
    body, headers = {"templateID": "base", "timeout": 60}, {**ALICE, "Idempotency-Key": "once-1"}
    first, second = (
        e2b_gateway.post("/v2/sandboxes", json=body, headers=headers) for _ in range(2)
    )
    other = e2b_gateway.post("/v2/sandboxes", json=body | {"timeout": 61}, headers=headers)
    e2b_gateway.delete(f"/sandboxes/{first.json()['sandboxID']}", headers=ALICE)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert other.status_code == 409


def _in_form(answer: requests.Response) -> bool:
    said = answer.json()
    return said["code"] == answer.status_code and bool(said["message"])


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", f"/sandboxes/{UNKNOWN}", {}, 404),
        ("GET", "/sandboxes/..%2f..", {}, 404),
        ("DELETE", f"/sandboxes/{UNKNOWN}", {}, 404),
        ("POST", f"/sandboxes/{UNKNOWN}/connect", {"json": {"timeout": 5}}, 404),
        ("POST", f"/sandboxes/{UNKNOWN}/pause", {}, 404),
        ("POST", f"/sandboxes/{UNKNOWN}/fork", {"json": {}}, 404),
        ("POST", f"/sandboxes/{UNKNOWN}/timeout", {"json": {"timeout": 5}}, 404),
        ("POST", "/sandboxes", {"json": {"templateID": "nope"}}, 404),
        ("POST", "/sandboxes", {"json": {"templateID": 5}}, 400),
        ("POST", "/sandboxes", {"json": {"timeout": -1}}, 400),
        ("POST", "/sandboxes", {"json": {"timeout": "soon"}}, 400),
        ("POST", "/sandboxes", {"json": {"metadata": {"a": 5}}}, 400),
        ("POST", "/sandboxes", {"json": {"envVars": {"A=B": "x"}}}, 400),
        ("POST", "/sandboxes", {"json": {"envVars": {"A": "x\0"}}}, 400),
        ("POST", "/sandboxes", {"json": []}, 400),
        (
            "POST",
            "/sandboxes",
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            400,
        ),
        ("POST", "/sandboxes", {"data": b"\xff", "headers": {"Content-Type": "text/plain"}}, 400),
        ("POST", "/sandboxes", {"json": {"volumeMounts": [{}]}}, 501),
        ("POST", "/sandboxes", {"json": {"network": {"allowOut": ["1.1.1.1"]}}}, 501),
        ("POST", "/sandboxes", {"json": {}, "headers": {"Idempotency-Key": "é".encode()}}, 400),
        ("GET", "/v2/sandboxes?limit=0", {}, 400),
        ("GET", "/v2/sandboxes?limit=x", {}, 400),
        ("GET", "/v2/sandboxes?state=gone", {}, 400),
        ("GET", "/v2/sandboxes?order=up", {}, 400),
        ("GET", "/v2/sandboxes?startedAfter=today", {}, 400),
        ("GET", "/snapshots?nextToken=x", {}, 400),
        ("GET", "/templates/aliases/nope", {}, 404),
        ("DELETE", "/templates/nope", {}, 404),
        ("POST", "/v3/templates", {"json": {}}, 501),
        ("GET", "/volumes", {}, 501),
        ("GET", "/secrets", {}, 501),
        ("GET", "/nothing", {}, 404),
        ("PATCH", "/sandboxes", {}, 404),
    ],
)
def test_bad_input_is_answered_in_their_form(
    e2b_gateway: GatewayProcess, method: str, path: str, options: dict[str, object], status: int
) -> None:
    """A KeyError or JSONDecodeError would take the place of the right exception."""
    headers = {**ALICE, **options.pop("headers", {})}
    answer = e2b_gateway.request(method, path, headers=headers, **options)

    assert answer.status_code == status, answer.text
    assert _in_form(answer)


def test_another_keys_sandbox_is_not_there(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """As one that never was; and a key that is none is 401."""
    path = f"/sandboxes/{made['sandboxID']}"
    for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/connect")):
        answer = e2b_gateway.request(method, path + below, headers=BOB)
        assert answer.status_code == 404
        assert _in_form(answer)
    nobody = e2b_gateway.get(path, headers={"X-API-Key": "e2b_" + "c" * 40})
    token = e2b_gateway.get(path, headers={"X-API-Key": f"e2b_{made['envdAccessToken']}"})

    assert (nobody.status_code, token.status_code) == (401, 401)
    assert _in_form(nobody)
    assert KEYS["alice"] not in nobody.text


def _served(gateway: GatewayProcess, sandbox_id: str, port: int) -> None:
    """Start a server inside that says its request's Host; once it listens."""
    program = (
        "import http.server as h\n"
        "class H(h.BaseHTTPRequestHandler):\n"
        " def do_GET(self):\n"
        "  b = repr({k.lower(): v for k, v in self.headers.items()}).encode()\n"
        "  self.send_response(200); self.send_header('Content-Length', str(len(b)))\n"
        "  self.end_headers(); self.wfile.write(b)\n"
        f"h.ThreadingHTTPServer(('127.0.0.1', {port}), H).serve_forever()\n"
    )
    command = {"command": f"python3 -c {shlex.quote(program)}", "background": True}
    started = gateway.post(f"/sandboxes/{sandbox_id}/commands", json=command)
    assert started.status_code == 202, started.text
    eventually(
        lambda: any(
            one["port"] == port for one in gateway.get(f"/sandboxes/{sandbox_id}/ports").json()
        ),
        within_s=15,
    )


def test_ports_are_open_unless_they_are_closed(e2b_gateway: GatewayProcess) -> None:
    """By the name of the host, as browsers come, and by header: everybody may come, or whoever has
    the traffic token. What the server hears of its host is masked, if that was asked for."""
    port = e2b_gateway.port
    network = {"allowPublicTraffic": False, "maskRequestHost": "inside:${PORT}"}
    body = {"templateID": "base", "timeout": 300}
    bare = {"Authorization": ""}
    opened, closed = (
        e2b_gateway.post("/v2/sandboxes", json=one, headers=ALICE).json()
        for one in (body, body | {"network": network})
    )
    token = closed["trafficAccessToken"]
    try:
        for one in (opened, closed):
            _served(e2b_gateway, one["sandboxID"], 8000)

        def ask(one: dict[str, str], **headers: str) -> requests.Response:
            by_host = {"Host": f"8000-{one['sandboxID']}.localhost:{port}"}
            with requests.Session() as session:
                session.trust_env = False
                return session.get(e2b_gateway.url, headers={**by_host, **headers}, timeout=30)

        public, refused = ask(opened), ask(closed)
        from_a_page = ask(opened, Origin="https://pages.example")
        wrong = ask(closed, **{"E2b-Traffic-Access-Token": token[:-1] + "g"})
        others = ask(closed, **{"E2b-Traffic-Access-Token": closed["envdAccessToken"]})
        allowed = ask(closed, **{"E2b-Traffic-Access-Token": token})
        named = {"E2b-Sandbox-Id": closed["sandboxID"], "E2b-Sandbox-Port": "8000", **bare}
        by_header = e2b_gateway.get("/", headers={**named, "E2b-Traffic-Access-Token": token})
        shut = e2b_gateway.get("/", headers=named)
        dead = ask(opened, Host=f"8001-{opened['sandboxID']}.localhost:{port}")
        detail = _detail(e2b_gateway, closed["sandboxID"])
    finally:
        for one in (opened, closed):
            e2b_gateway.delete(f"/sandboxes/{one['sandboxID']}", headers=ALICE)
    gone = ask(opened)

    assert (gone.status_code, gone.json()["message"]) == (502, "The sandbox was not found")
    assert "trafficAccessToken" not in opened
    assert (public.status_code, from_a_page.status_code) == (200, 200)
    assert f"'host': '8000-{opened['sandboxID']}.localhost:{port}'" in public.text
    for answer in (refused, wrong, others, shut):
        assert (answer.status_code, answer.json()["code"]) == (403, 403)
    for answer in (allowed, by_header):
        assert answer.status_code == 200
        assert "'host': 'inside:8000'" in answer.text
        assert token not in answer.text
    assert dead.status_code == 502
    assert dead.json()["message"] == "The sandbox is running but port is not open"
    assert detail["network"] == {
        "allowPublicTraffic": False,
        "maskRequestHost": "inside:${PORT}",
    }


def test_a_native_sandboxs_ports_stay_closed(e2b_gateway: GatewayProcess) -> None:
    """Without a key, as before there was another protocol."""
    native = e2b_gateway.create()
    try:
        headers = {"Host": f"8000-{native}.localhost:{e2b_gateway.port}", "Authorization": ""}
        answer = e2b_gateway.get("/", headers=headers)
    finally:
        e2b_gateway.delete(f"/sandboxes/{native}")

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_metrics_are_those_of_the_time_that_is_asked_for(
    e2b_gateway: GatewayProcess, made: dict[str, str]
) -> None:
    """The first sample comes within seconds; all its fields are required."""
    path = f"/sandboxes/{made['sandboxID']}/metrics"

    def samples(query: str = "") -> list[dict[str, object]]:
        answer = e2b_gateway.get(path + query, headers=ALICE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    eventually(lambda: len(samples()) > 0, within_s=20)
    found = samples()
    first, last = int(str(found[0]["timestampUnix"])), int(str(found[-1]["timestampUnix"]))
    several = e2b_gateway.get(
        f"/sandboxes/metrics?sandbox_ids={made['sandboxID']},{UNKNOWN}", headers=ALICE
    ).json()

    assert found[0].keys() == {
        *("timestamp", "timestampUnix", "cpuCount", "cpuUsedPct", "memUsed", "memTotal"),
        *("memCache", "diskUsed", "diskTotal"),
    }
    assert int(str(found[0]["memTotal"])) > int(str(found[0]["memUsed"])) > 0
    assert samples(f"?start={last + 3600}") == []
    assert samples(f"?end={first - 1}") == []
    assert samples(f"?start={first}&end={first}")[0] == found[0]
    assert [*several["sandboxes"]] == [made["sandboxID"]]


def test_logs_tell_what_happened_to_it(e2b_gateway: GatewayProcess, made: dict[str, str]) -> None:
    """In the forms of both versions."""
    path = f"/sandboxes/{made['sandboxID']}/logs"
    newer = e2b_gateway.get(f"/v2{path}", headers=ALICE).json()
    older = e2b_gateway.get(path, headers=ALICE).json()

    assert newer["logs"][0]["message"] == "created"
    assert newer["logs"] == older["logEntries"]
    assert older["logs"][0]["line"] == "created"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 204),
        ({"allowOut": ["0.0.0.0/0"], "denyOut": ["0.0.0.0/0"]}, 204),
        ({"denyOut": ["0.0.0.0/0"]}, 501),
        ({"denyOut": ["10.0.0.0/8"]}, 501),
        ({"allow_internet_access": False}, 501),
        ({"allowOut": 5}, 400),
    ],
)
def test_a_network_stays_what_it_is(
    e2b_gateway: GatewayProcess, made: dict[str, str], body: dict[str, object], status: int
) -> None:
    """What cannot be done is refused: a program that relies on it shall know."""
    path = f"/sandboxes/{made['sandboxID']}/network"
    answer = e2b_gateway.request("PUT", path, json=body, headers=ALICE)

    assert answer.status_code == status
    assert status == 204 or _in_form(answer)


def test_without_internet_there_is_no_network(e2b_gateway: GatewayProcess) -> None:
    """Either way of saying so; a later change is told what is missing."""
    for said in ({"allow_internet_access": False}, {"network": {"denyOut": ["0.0.0.0/0"]}}):
        body = {"templateID": "base", "timeout": 60, **said}
        made = e2b_gateway.post("/v2/sandboxes", json=body, headers=ALICE).json()
        native = e2b_gateway.get(f"/sandboxes/{made['sandboxID']}").json()
        detail = _detail(e2b_gateway, made["sandboxID"])
        e2b_gateway.delete(f"/sandboxes/{made['sandboxID']}", headers=ALICE)

        assert native["network"] == "none"
        assert detail["allowInternetAccess"] is False
