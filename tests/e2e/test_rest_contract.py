"""REST as section 1 of the contract has it, word for word, against the real engine."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import check_problem, problem_of

CREATED = {
    "en": "Sandbox container created successfully",
    "it": "Container sandbox creato con successo",
    "zh": "沙箱容器已创建成功",
}
DELETED = {
    "en": "Sandbox {id} deleted successfully",
    "it": "Sandbox {id} eliminato con successo",
    "zh": "沙箱 {id} 已成功删除",
}
UNKNOWN_ID = "0" * 32


def test_create_answers_201_with_three_fields_and_a_location(gateway: GatewayProcess) -> None:
    """The first call of every client: the body is fixed and Location leads to the sandbox."""
    answer = gateway.post("/sandboxes")

    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"sandbox_id", "status", "message"}
    assert body["status"] == "created"
    assert body["message"] == CREATED["en"]
    followed = gateway.get(answer.headers["Location"])
    assert followed.json()["sandbox_id"] == body["sandbox_id"]
    gateway.delete(f"/sandboxes/{body['sandbox_id']}")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": b""},
        {"data": b"", "headers": {"Content-Type": "application/json"}},
        {"json": {}},
        {"data": b"{}", "headers": {"Content-Type": "application/json; charset=utf-8"}},
    ],
    ids=["none", "empty", "empty-json", "object", "charset"],
)
def test_create_needs_no_body(gateway: GatewayProcess, body: dict[str, Any]) -> None:
    """Clients send nothing, an empty text or an empty object; all mean the defaults."""
    answer = gateway.post("/sandboxes", **body)

    assert answer.status_code == 201, answer.text
    gateway.delete(answer.headers["Location"])


def test_ids_are_long_random_and_plain(gateway: GatewayProcess) -> None:
    """The id is the capability: at least 128 bits, and only characters that fit everywhere."""
    ids = [gateway.create() for _ in range(3)]

    assert len(set(ids)) == 3
    for sandbox_id in ids:
        assert re.fullmatch(r"[a-z0-9]{25,}", sandbox_id)
        gateway.delete(f"/sandboxes/{sandbox_id}")


def test_list_is_a_bare_array_of_sandbox_objects(gateway: GatewayProcess, sandbox: str) -> None:
    """Existing clients iterate over the answer itself."""
    answer = gateway.get("/sandboxes")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    listed = answer.json()
    assert isinstance(listed, list)
    [found] = [entry for entry in listed if entry["sandbox_id"] == sandbox]
    assert found == gateway.get(f"/sandboxes/{sandbox}").json()


def test_list_is_an_empty_array_without_sandboxes(own_gateway) -> None:
    """Neither null nor an object, nor another gateway's containers."""
    gateway = own_gateway(workers="1").start_ready()

    assert gateway.get("/sandboxes").content == b"[]"


def test_a_sandbox_object_has_its_four_fields(gateway: GatewayProcess) -> None:
    """Their types are part of the contract: epoch seconds and a dotted address."""
    before = time.time()
    sandbox_id = gateway.create()
    after = time.time()

    shown = gateway.get(f"/sandboxes/{sandbox_id}").json()

    assert shown["sandbox_id"] == sandbox_id
    assert shown["status"] == "idle"
    assert isinstance(shown["created_at"], float)
    assert before - 1 <= shown["created_at"] <= after + 1
    networks = gateway.engine.inspect(sandbox_id)["NetworkSettings"]["Networks"]
    assert [shown["ip_address"]] == [network["IPAddress"] for network in networks.values()]
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_ip_address_is_null_without_a_network(own_gateway) -> None:
    """An empty string would be taken for an address."""
    gateway = own_gateway(workers="1", network="none").start_ready()

    sandbox_id = gateway.create()

    assert gateway.get(f"/sandboxes/{sandbox_id}").json()["ip_address"] is None
    assert [entry["ip_address"] for entry in gateway.get("/sandboxes").json()] == [None]


def test_delete_answers_200_and_the_sandbox_is_gone(gateway: GatewayProcess) -> None:
    """Gone means gone: container, list, and every later call, whichever worker answers it."""
    sandbox_id = gateway.create()

    answer = gateway.delete(f"/sandboxes/{sandbox_id}")

    assert answer.status_code == 200
    assert answer.json() == {"message": DELETED["en"].format(id=sandbox_id)}
    assert sandbox_id not in gateway.engine.containers()
    for _ in range(6):
        problem_of(gateway.get(f"/sandboxes/{sandbox_id}"), 404)
        problem_of(gateway.delete(f"/sandboxes/{sandbox_id}"), 404)
        assert sandbox_id not in gateway.listed()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_sandbox_is_a_404_problem(gateway: GatewayProcess, method: str) -> None:
    """With a stable code for programs and the id for people."""
    problem = problem_of(gateway.request(method, f"/sandboxes/{UNKNOWN_ID}"), 404)

    assert problem["code"] == "sandbox_not_found"
    assert UNKNOWN_ID in problem["message"]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("en", "en"),
        ("it", "it"),
        ("it-IT,it;q=0.9,en;q=0.8", "it"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr,de;q=0.5", "en"),
        ("fr,zh;q=0.3,it;q=0.8", "it"),
        ("*", "en"),
        ("it;q=0,zh;q=0", "en"),
        (";;;q=x,,\u00e9", "en"),
    ],
)
def test_messages_speak_the_language_asked_for(
    gateway: GatewayProcess, accepted: str | None, language: str
) -> None:
    """The Italian and Chinese texts are fixed word for word; anything else is English."""
    headers = {} if accepted is None else {"Accept-Language": accepted.encode("utf-8")}

    created = gateway.post("/sandboxes", headers=headers).json()
    sandbox_id = created["sandbox_id"]
    deleted = gateway.delete(f"/sandboxes/{sandbox_id}", headers=headers).json()

    assert created["message"] == CREATED[language]
    assert deleted["message"] == DELETED[language].format(id=sandbox_id)


@pytest.mark.parametrize("language", ["en", "it", "zh"])
def test_problems_are_localised_and_keep_their_code(gateway: GatewayProcess, language: str) -> None:
    """People read `message`, programs read `code`: only one of them changes."""
    answer = gateway.get(f"/sandboxes/{UNKNOWN_ID}", headers={"Accept-Language": language})
    problem = problem_of(answer, 404)

    assert (problem["message"] == f"Sandbox {UNKNOWN_ID} not found") == (language == "en")
    assert UNKNOWN_ID in problem["message"]
    assert problem["code"] == "sandbox_not_found"
    assert problem["title"] == "Sandbox not found"


def _json(data: bytes) -> dict[str, Any]:
    return {"data": data, "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (_json(b"{"), 400),
        (_json(b"not json"), 400),
        (_json(b"\xff\xfe{}"), 400),
        (_json(b'{"a": 1, "a": 2}'), 400),
        (_json(b'{"a": NaN}'), 400),
        (_json(b'{"a": "\\ud800"}'), 400),
        (_json(b"[" * 10_000 + b"]" * 10_000), 400),
        (_json(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400),
        (_json(b"9" * 5_000), 400),
        (_json(b"{}{}"), 400),
        (_json(b"[]"), 422),
        (_json(b"null"), 422),
        (_json(b'"text"'), 422),
        (_json(b"17"), 422),
        (_json(b'{"unknown_field": 1}'), 422),
        ({"data": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": b"{}"}, 415),
        ({"data": b"{}", "headers": {"Content-Type": ";;;"}}, 415),
        (_json(b" " * (3 * 1024 * 1024)), 413),
    ],
)
def test_a_bad_body_is_refused_with_a_problem(
    gateway: GatewayProcess, body: dict[str, Any], status: int
) -> None:
    """400 not JSON, 415 not said to be, 422 JSON with other values, 413 too large; and nothing is
    created."""
    before = gateway.listed()

    problem_of(gateway.post("/sandboxes", **body), status)

    assert gateway.listed() == before


@pytest.mark.parametrize(
    "sandbox_id",
    [
        "..",
        "%2e%2e",
        "..%2fnetworks%2fbridge",
        "%2e%2e%2f%2e%2e%2fversion",
        "a%00b",
        "a%0d%0aX-Injected:%20yes",
        "ABCDEF",
        "sandbox-" + UNKNOWN_ID,
        "%ff%fe",
        "沙箱",
        "a" * 3_900,
        "a b",
        "*",
        "'; DROP TABLE sandboxes; --",
        "<script>",
        "%25s%25n",
        "{id}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_weird_id_is_just_unknown(
    gateway: GatewayProcess, module_sandbox: str, method: str, sandbox_id: str
) -> None:
    """Ids go into addresses of the engine's API, into queries, logs and answers."""
    answer = gateway.request(method, f"/sandboxes/{sandbox_id}")

    problem_of(answer, 404)
    assert "X-Injected" not in answer.headers
    assert gateway.status_of(module_sandbox) == "idle"


def test_a_containers_name_or_id_is_no_sandbox_id(gateway: GatewayProcess, sandbox: str) -> None:
    """Whoever may list containers of the host must not reach foreign ones through the gateway."""
    container_id = gateway.engine.container_of(sandbox)
    name = gateway.engine.inspect(sandbox)["Name"].lstrip("/")

    for foreign in (container_id, container_id[:12], name):
        problem_of(gateway.delete(f"/sandboxes/{foreign}"), 404)
    assert gateway.status_of(sandbox) == "idle"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/sandboxes", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("DELETE", "/sandboxes", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", f"/sandboxes/{UNKNOWN_ID}", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
        ("PUT", f"/sandboxes/{UNKNOWN_ID}", {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}),
        ("TRACE", "/sandboxes", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(
    gateway: GatewayProcess, method: str, path: str, allowed: set[str]
) -> None:
    """RFC 9110, 15.5.6: 405 carries Allow."""
    answer = gateway.request(method, path)

    problem_of(answer, 405)
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/sandboxes//", "//", "/favicon.ico", "/ws", "/ws/"]
)
def test_other_addresses_are_404_problems(gateway: GatewayProcess, path: str) -> None:
    """Never an HTML page and never a redirect to one."""
    answer = gateway.get(path)

    assert answer.status_code == 404, (answer.status_code, answer.text[:200])
    problem_of(answer, 404)


def _raw(gateway: GatewayProcess, request: bytes) -> tuple[int, str | None, bytes]:
    """Status, content type and body of the answer to bytes that no HTTP library would send."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as raw:
        raw.sendall(request)
        answer = HTTPResponse(raw)
        answer.begin()
        return answer.status, answer.getheader("Content-Type"), answer.read()


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (b"nonsense\r\n\r\n", {400}),
        (b"GET /sandboxes\r\n\r\n", {400}),
        (b"GET /sandboxes HTTP/9.9\r\nHost: localhost\r\n\r\n", {400, 505}),
        (b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {414}),
        (b"GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", {431}),
        (b"GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", {400}),
        (b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", {400}),
        (
            b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            {400},
        ),
        (
            b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
            {400},
        ),
        (
            b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            {400, 501},
        ),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_broken_http_is_answered_with_a_problem_too(
    gateway: GatewayProcess, request_bytes: bytes, statuses: set[int]
) -> None:
    """gunicorn answers what it cannot parse by itself, with an HTML page, unless it is told not
    to. Nothing is created by half a request."""
    before = gateway.listed()

    status, content_type, body = _raw(gateway, request_bytes)

    assert status in statuses, (status, body)
    check_problem(content_type, body, status)
    assert gateway.listed() == before


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml;q=1, */*;q=0"])
def test_errors_stay_json_whatever_is_accepted(gateway: GatewayProcess, accept: str) -> None:
    """A browser gets the same problem document as a program."""
    problem_of(gateway.get(f"/sandboxes/{UNKNOWN_ID}", headers={"Accept": accept}), 404)


def test_head_answers_like_get_without_a_body(gateway: GatewayProcess, sandbox: str) -> None:
    """RFC 9110, 9.3.2; probes use it."""
    for path, status in (
        (f"/sandboxes/{sandbox}", 200),
        ("/sandboxes", 200),
        (f"/sandboxes/{UNKNOWN_ID}", 404),
    ):
        answer = gateway.request("HEAD", path)
        assert (answer.status_code, answer.content) == (status, b"")


def test_health_and_readiness(gateway: GatewayProcess) -> None:
    """What orchestrators poll: up, and able to serve."""
    assert gateway.get("/healthz").json() == {"status": "ok"}
    ready = gateway.get("/readyz").json()
    assert ready["status"] == "ready"
    assert {name: check["ok"] for name, check in ready["checks"].items()} == {
        "engine": True,
        "image": True,
        "store": True,
    }


def test_many_creates_at_once_all_succeed(gateway: GatewayProcess) -> None:
    """Agents come in swarms: each gets a sandbox of its own, over both workers."""
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: gateway.create(), range(8)))
        assert len(set(ids)) == 8
        assert set(ids) <= gateway.listed()
        statuses = pool.map(lambda i: gateway.delete(f"/sandboxes/{i}").status_code, ids)
        assert list(statuses) == [200] * 8
    eventually(lambda: not set(ids) & set(gateway.engine.containers()))
