"""Every route is closed to whoever has no key, but for those that are listed here by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from gateway.app import create_app, runtime_of
from gateway.identity.access import Access
from gateway.middleware import authentication
from gateway.runtime import Runtime
from gateway.schemas.route_documentation import not_part_of_the_api
from gateway.settings import Settings
from tests.support.keys import ALICE, BOB, INLINE, NOBODYS, bearer
from tests.unit.api.rest.fake_tenancy import FakeTenancy
from tests.unit.api.rest.fakes import CheckedClient, FakeSandboxes

NO_OAUTH = {
    "/.well-known/oauth-<path:_rest>",
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/<path:_rest>",
}
"""Clients that were refused look there, without a key."""

OPEN = {"/healthz", "/openapi.json", "/docs", "/docs/assets/<name>"} | NO_OAUTH
"""Said again, so that opening a route takes a change here as well."""


@pytest.fixture
def closed(app: Flask, access: Access) -> CheckedClient:
    """A client of the application with keys; its answers are held against the document."""
    authentication.install(app, access)
    client = app.test_client()
    assert isinstance(client, CheckedClient)
    return client


def _filled(rule: Rule, sandbox_id: str = "a1") -> str:
    path = rule.rule.replace("<sandbox_id>", sandbox_id)
    return re.sub(r"<(?:[^:>]+:)?name>", "docs.css", re.sub(r"<request_id:request_id>", "r1", path))


def _methods(rule: Rule) -> list[str]:
    return sorted((rule.methods or {"GET"}) | {"OPTIONS"})


def _ask(client: Any, rule: Rule, method: str, headers: dict[str, str], path: str = "") -> Any:
    if rule.websocket:
        headers = headers | {"Connection": "Upgrade", "Upgrade": "websocket"}
    return client.open(path or _filled(rule), method=method, headers=headers)


WRONG = {
    "none": {},
    "unknown": bearer(ALICE[:-1]),
    "empty": {"Authorization": "Bearer "},
    "basic": {"Authorization": f"Basic {ALICE}"},
    "bare": {"Authorization": ALICE},
    "two words": {"Authorization": f"Bearer {ALICE} {ALICE}"},
    "name": bearer("alice"),
    "header": {"X-API-Key": ALICE + "x"},
    "wrong before right": {"X-API-Key": "wrong", **bearer(ALICE)},
    "token": bearer("sgt_forged.signature"),
    "long": bearer("x" * 5000),
    "not ASCII": {"Authorization": "Bearer ä\x80ÿ"},
    "cookie": {"Cookie": f"key={ALICE}; X-API-Key={ALICE}"},
    "subprotocol": {"Sec-WebSocket-Protocol": f"bearer.{ALICE}x, {ALICE}"},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The real application, all routes that there are. Nothing in it starts: a request that the
    guard refuses gets no further, and an open one would begin to keep house on this machine's
    engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runtime, "start", lambda _runtime: None)
        app = create_app(
            Settings(data_dir=tmp_path_factory.mktemp("data"), api_keys=INLINE, audit_log="off")
        )
    yield app
    runtime_of(app).close()
    runtime_of(app).release()


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_every_route_is_closed_unless_it_is_listed(real: Flask, headers: dict[str, str]) -> None:
    """The URL map is walked: a route that somebody adds is closed, or fails here. WebSockets are
    refused before the handshake, for a 101 could not be answered any more."""
    client = real.test_client()
    walked = 0
    for rule in real.url_map.iter_rules():
        for method in _methods(rule):
            if rule.rule in OPEN and method != "OPTIONS":
                continue
            if rule.rule in OPEN and method in (rule.methods or ()):
                continue
            answer = _ask(client, rule, method, headers)
            assert answer.status_code == 401, (rule.rule, method)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            if method != "HEAD":
                assert answer.json["code"] == "unauthorized"
                assert ALICE not in answer.text
            walked += 1
    assert walked > 30
    assert {rule.rule for rule in real.url_map.iter_rules()} >= OPEN


def test_the_open_routes_are_those_of_the_contract(real: Flask) -> None:
    """By their endpoints, as the guard has them."""
    listed = {
        r.rule for r in real.url_map.iter_rules() if r.endpoint in authentication.OPEN_ENDPOINTS
    }

    assert listed == OPEN


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/sandboxes/../x", "/sandboxes/A%00", "/docs//x"]
)
def test_addresses_that_do_not_exist_are_closed_too(real: Flask, path: str) -> None:
    """Who has no key learns nothing, not even which routes there are; nor that an id cannot be
    one, which is found out before any view."""
    answer = real.test_client().get(path)

    assert answer.status_code == 401


def test_other_methods_of_open_routes_are_closed(real: Flask) -> None:
    """Open is what is listed, not what begins alike."""
    client = real.test_client()

    assert client.post("/healthz").status_code == 401
    assert client.delete("/docs").status_code == 401
    assert client.get("/healthz/").status_code in (200, 401)


def test_open_routes_need_no_key(closed: CheckedClient) -> None:
    """And do not look at one."""
    for path in ("/healthz", "/openapi.json", "/docs", "/docs/assets/docs.css"):
        for headers in ({}, bearer("wrong")):
            assert closed.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer(ALICE),
        {"X-API-Key": ALICE},
        {"X-API-Key": f" {ALICE} "},
        {"Authorization": f"bearer {ALICE}"},
        {"Authorization": f"Bearer   {ALICE} "},
        {"X-API-Key": ALICE, "Authorization": "Basic eDp5"},
        {"Sec-WebSocket-Protocol": f"chat, bearer.{ALICE}"},
    ],
)
def test_a_key_opens(closed: CheckedClient, headers: dict[str, str]) -> None:
    """In any of the places where one may stand."""
    assert closed.get("/sandboxes/a1", headers=headers).status_code == 200


def test_each_sees_their_own_only(closed: CheckedClient) -> None:
    """In the list as by id."""
    for key, own in ((ALICE, ["a1", "a2"]), (BOB, ["b1"])):
        listed = closed.get("/sandboxes", headers=bearer(key)).json
        assert [sandbox["sandbox_id"] for sandbox in listed] == own


def test_anothers_sandbox_is_like_one_that_is_not_there(
    closed: CheckedClient, sandboxes: FakeSandboxes
) -> None:
    """On every route that has an id, byte for byte; and nothing behind the edge hears of it."""
    before = dict(sandboxes.kept)
    walked = 0
    for rule in closed.application.url_map.iter_rules():
        if "sandbox_id" not in rule.arguments:
            continue
        for method in sorted((rule.methods or {"GET"}) - {"OPTIONS", "HEAD"}):
            answers = [
                _ask(closed, rule, method, bearer(BOB), _filled(rule, sandbox_id))
                for sandbox_id in ("a1", "zz", "n1")
            ]
            texts = [re.sub(r"\b(a1|zz|n1)\b", "ID", answer.text).encode() for answer in answers]
            assert [answer.status_code for answer in answers] == [404] * 3, (rule.rule, method)
            assert len(set(texts)) == 1
            assert answers[0].json["code"] == "sandbox_not_found"
            names = [sorted(name for name, _ in answer.headers) for answer in answers]
            assert names[0] == names[1] == names[2]
            walked += 1
    assert walked >= 12
    assert sandboxes.asked == []
    assert sandboxes.kept == before


def test_create_returns_a_token_for_the_new_sandbox(
    closed: CheckedClient, tenancy: FakeTenancy
) -> None:
    """It opens that one and nothing else."""
    made = closed.post("/sandboxes", headers=bearer(ALICE)).json
    token = bearer(made["access_token"])

    assert tenancy.owners[made["sandbox_id"]] == "alice"
    assert closed.get(f"/sandboxes/{made['sandbox_id']}", headers=token).status_code == 200
    assert closed.get("/sandboxes/a1", headers=token).status_code == 404
    assert closed.get("/sandboxes/b1", headers=token).status_code == 404
    for method, path in (
        ("GET", "/sandboxes"),
        ("POST", "/sandboxes"),
        ("GET", "/readyz"),
        ("POST", f"/sandboxes/{made['sandbox_id']}/token"),
        ("DELETE", f"/sandboxes/{made['sandbox_id']}/token"),
    ):
        answer = closed.open(path, method=method, headers=token)
        assert answer.status_code == 403, path
        assert answer.json["code"] == "forbidden"


def test_without_keys_create_answers_with_its_three_fields(client: CheckedClient) -> None:
    """The core of the contract, word for word."""
    assert {*client.post("/sandboxes").json} == {"sandbox_id", "status", "message"}


def test_a_token_is_issued_and_revoked(closed: CheckedClient) -> None:
    """By whoever has the key of the sandbox's owner."""
    issued = closed.post("/sandboxes/a1/token", headers=bearer(ALICE))
    assert issued.status_code == 201
    assert {*issued.json} == {"access_token", "expires_at"}

    assert closed.delete("/sandboxes/a1/token", headers=bearer(ALICE)).status_code == 204
    for wrong in (
        closed.post("/sandboxes/a1/token", headers=bearer(BOB)),
        closed.delete("/sandboxes/a1/token", headers=bearer(BOB)),
        closed.post("/sandboxes/gone/token", headers=bearer(ALICE)),
    ):
        assert wrong.status_code == 404


def test_too_many_requests_are_429_with_the_time_to_wait(closed: CheckedClient) -> None:
    """A client that obeys Retry-After gets through."""
    answers = [closed.get("/sandboxes", headers=bearer(NOBODYS)) for _ in range(3)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert answers[-1].json["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "1"


def test_an_endless_answer_ends_with_its_token(
    app: Flask, closed: CheckedClient, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events may be followed for hours. What was opened is closed, too."""
    ended = []

    @not_part_of_the_api("of this test")
    def follow(sandbox_id: str) -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield b"piece"
            finally:
                ended.append(sandbox_id)

        return Response(pieces(), content_type="text/event-stream")

    app.add_url_rule("/sandboxes/<sandbox_id>/follow", "follow", follow)
    monkeypatch.setattr(authentication, "CHECK_S", 0.0)
    token = bearer(access.issue("a1").text)
    response = FlaskClient(app).get("/sandboxes/a1/follow", headers=token)
    pieces = iter(response.response)
    assert [next(pieces) for _ in range(5)] == [b"piece"] * 5

    access.revoke("a1")

    assert list(pieces) == []
    assert ended == ["a1"]
    response.close()


def test_the_document_says_what_is_needed(app: Flask, access: Access) -> None:
    """Generated clients ask for a key, and fuzzers try without one."""
    without = app.test_client().get("/openapi.json").json
    assert {} in without["security"]
    guarded = Flask("gateway.app", static_folder=None)
    authentication.install(guarded, access)
    assert authentication.needs_key(guarded)


def test_the_document_with_keys(closed: CheckedClient) -> None:
    """Both headers, each enough; nothing for the open routes."""
    document = closed.get("/openapi.json").json

    assert document["security"] == [{"bearer": []}, {"apiKey": []}]
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-API-Key"
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert "401" not in document["paths"]["/healthz"]["get"]["responses"]
    create = document["paths"]["/sandboxes"]["post"]
    assert "security" not in create
    assert {"401", "403", "429"} <= {*create["responses"]}


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [("bearer.abc", True), ("bearer.", True), ("bearer", False), ("chat", False), ("", False)],
)
def test_subprotocols_that_carry_a_token_are_selected(offered: str, accepted: bool) -> None:
    """A browser ends a connection whose subprotocols were all passed over."""
    assert (offered in authentication.BearerSubprotocols()) is accepted
