"""Remote procedure calls as Connect's clients make them, and what is answered to bad ones."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.api.e2b.connect_rpc import URL_PREFIX, ConnectRpc, Last, Message, Messages, RpcError
from gateway.api.e2b.envelopes import enveloped
from gateway.api.e2b.open_streams import OpenStreams
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    CommandNotFound,
    GatewayError,
    HostFault,
    PathNotFound,
    SandboxNotFound,
)

JSON = "application/json"
STREAM = "application/connect+json"
PING = {"ping": {}}


class Sandboxes:
    """What has become of sandboxes, as tests say."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}
        self.paused: dict[str, float] = {}

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        return {one: why for one, why in self.ended.items() if one in sandbox_ids}

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        return {one: at for one, at in self.paused.items() if one in sandbox_ids}


class Calls:
    """An application of three procedures, whose handlers tests may set."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        self.unary: Callable[[str, Message], Message] = lambda _id, message: message
        self.stream: Callable[[str, Message], Messages] = _echo
        self.app = Flask("calls")
        routes = Blueprint("calls", __name__, url_prefix=URL_PREFIX)
        self.sandboxes = Sandboxes()
        self.streams = OpenStreams(self.sandboxes, None)
        rpc = ConnectRpc(self.waiting, self.streams)
        rpc.unary(routes, "a.B", "Ask", lambda *given: self.unary(*given))
        rpc.server_stream(routes, "a.B", "Tell", lambda *given: self.stream(*given), keepalive=PING)
        rpc.client_stream(routes, "a.B", "Take", lambda _id, each: {"got": list(each)})
        rpc.otherwise(routes, "a.B")
        self.app.register_blueprint(routes)
        self.client: FlaskClient = self.app.test_client()

    def post(self, method: str, body: bytes, kind: str, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/e2b/envd/abc/a.B/{method}", data=body, content_type=kind, headers=named
        )

    def tell(self, body: bytes = enveloped(b"{}"), **headers: str) -> TestResponse:
        return self.post("Tell", body, STREAM, **headers)


@pytest.fixture
def calls() -> Calls:
    return Calls()


def _echo(_sandbox_id: str, message: Message) -> Messages:
    yield message


def envelopes(body: bytes) -> list[tuple[int, Any]]:
    """(flags, message) of each."""
    found = []
    while body:
        flags, size = struct.unpack_from("!BI", body)
        found.append((flags, json.loads(body[5 : 5 + size])))
        body = body[5 + size :]
    return found


def test_a_unary_call_is_plain_json(calls: Calls) -> None:
    """No envelope, and exactly the status 200."""
    response = calls.post("Ask", b'{"a":1}', JSON, connect_protocol_version="1")
    assert (response.status_code, response.json) == (200, {"a": 1})


def test_a_stream_ends_with_an_envelope_that_says_so(calls: Calls) -> None:
    """Without it clients take the answer for cut off. The type is compared as a string by them."""
    response = calls.tell(enveloped(b'{"a":1}'))
    assert response.headers["Content-Type"] == STREAM
    assert envelopes(response.data) == [(0, {"a": 1}), (2, {})]


def test_messages_of_a_client_come_one_by_one(calls: Calls) -> None:
    """The answer has one message and the end."""
    sent = enveloped(b'{"n":1}') + enveloped(b'{"n":2}')
    response = calls.post("Take", sent, STREAM)
    assert envelopes(response.data) == [(0, {"got": [{"n": 1}, {"n": 2}]}), (2, {})]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (RpcError("already_exists", "there"), "already_exists", 409),
        (CommandNotFound(), "not_found", 404),
        (PathNotFound("gone"), "not_found", 404),
        (SandboxNotFound("abc"), "unavailable", 503),
        (HostFault("docker.sock is gone"), "unavailable", 503),
        (GatewayError("secret"), "internal", 500),
        (KeyError("secret"), "internal", 500),
    ],
)
def test_errors_have_connects_codes(calls: Calls, error: Exception, code: str, status: int) -> None:
    """Before the stream by a status, in it by its last envelope; what is internal stays inside."""

    def fail(_sandbox_id: str, _message: Message) -> Message:
        raise error

    def break_off(_sandbox_id: str, _message: Message) -> Messages:
        yield {"n": 1}
        raise error

    calls.unary, calls.stream = fail, break_off
    response = calls.post("Ask", b"{}", JSON)
    assert response.json is not None
    assert (response.status_code, response.json["code"]) == (status, code)
    first, last = envelopes(calls.tell().data)
    assert first == (0, {"n": 1})
    if isinstance(error, SandboxNotFound):  # it was there when the stream began
        assert "reached its end of life" in last[1]["error"]["message"]
    else:
        assert last == (2, {"error": response.json})
    assert "secret" not in response.text
    assert "docker.sock" not in response.text


@pytest.mark.parametrize(
    ("method", "body", "kind", "headers", "status", "code"),
    [
        ("Ask", b"{}", "text/plain", {}, 415, "unknown"),
        ("Ask", b"{}", STREAM, {}, 415, "unknown"),
        ("Ask", b"{", JSON, {}, 400, "invalid_argument"),
        ("Ask", b"[]", JSON, {}, 400, "invalid_argument"),
        ("Ask", b"[" * 5000, JSON, {}, 400, "invalid_argument"),
        ("Ask", b"{}", JSON, {"content_encoding": "gzip"}, 501, "unimplemented"),
        ("Ask", b"{}", JSON, {"connect_timeout_ms": "soon"}, 400, "invalid_argument"),
        ("Ask", b"{}", JSON, {"connect_timeout_ms": "-1"}, 400, "invalid_argument"),
        ("Ask", b"{}", JSON, {"connect_protocol_version": "2"}, 400, "invalid_argument"),
        ("Ask", b"x" * (4 * 1024 * 1024 + 1), JSON, {}, 429, "resource_exhausted"),
        ("Nope", b"{}", JSON, {}, 501, "unimplemented"),
        ("Nope", b"{}", STREAM, {}, 501, "unimplemented"),
        ("Tell", b"{}", JSON, {}, 415, "unknown"),
        ("Tell", b"", STREAM, {}, 501, "unimplemented"),
        ("Tell", b"{}", STREAM, {}, 400, "invalid_argument"),
        ("Tell", b"\x01\x00\x00\x00\x02{}", STREAM, {}, 400, "invalid_argument"),
        ("Tell", b"\x00\x00\x00\x00\x09{}", STREAM, {}, 400, "invalid_argument"),
        ("Tell", b"\x00\xff\x00\x00\x00{}", STREAM, {}, 429, "resource_exhausted"),
        ("Tell", enveloped(b"{}") * 2, STREAM, {}, 501, "unimplemented"),
        ("Tell", enveloped(b"{}"), STREAM, {"connect_content_encoding": "gzip"}, 501, None),
        ("Take", enveloped(b"\xff"), STREAM, {}, 400, "invalid_argument"),
    ],
)
def test_bad_calls_are_refused_in_connects_form(
    calls: Calls,
    method: str,
    body: bytes,
    kind: str,
    headers: dict[str, str],
    status: int,
    code: str | None,
) -> None:
    """Whatever it is, the answer is JSON with a code and a message."""
    response = calls.post(method, body, kind, **headers)
    assert response.headers["Content-Type"] == JSON
    assert response.json is not None
    assert response.status_code == status, response.text
    assert response.json["message"]
    assert response.json["code"] == (code or "unimplemented")


def test_silence_is_filled_with_keepalives(calls: Calls) -> None:
    """Proxies end connections that are silent."""

    def wait(_sandbox_id: str, _message: Message) -> Messages:
        gevent.sleep(1.1)
        yield {"n": 1}

    calls.stream = wait
    response = calls.tell(keepalive_ping_interval="1")
    assert envelopes(response.data) == [(0, PING), (0, {"n": 1}), (2, {})]


def test_the_deadline_ends_streams_and_unary_calls(calls: Calls) -> None:
    """Whatever they wait for."""
    closed = []

    def wait(_sandbox_id: str, _message: Message) -> Messages:
        try:
            gevent.sleep(60)
            yield {}
        finally:
            closed.append(True)

    def wait_too(_sandbox_id: str, _message: Message) -> Message:
        gevent.sleep(60)
        return {}

    calls.stream, calls.unary = wait, wait_too
    began = time.monotonic()
    late = {"code": "deadline_exceeded", "message": "context deadline exceeded"}
    with calls.tell(connect_timeout_ms="100") as response:
        assert envelopes(response.data) == [(2, {"error": late})]
    response = calls.post("Ask", b"{}", JSON, connect_timeout_ms="100")
    assert (response.status_code, response.json) == (504, late)
    assert closed == [True]
    assert time.monotonic() - began < 30


def test_a_stream_ends_when_the_process_does(calls: Calls) -> None:
    """With an error by which clients connect again."""

    def wait(_sandbox_id: str, _message: Message) -> Messages:
        calls.waiting.close()
        gevent.sleep(60)
        yield {}

    calls.stream = wait
    with calls.tell() as response:
        ((flags, said),) = envelopes(response.data)
    assert (flags, said["error"]["code"]) == (2, "unavailable")


@pytest.mark.parametrize("what", ["ended", "paused"])
def test_streams_end_with_their_sandbox(calls: Calls, what: str) -> None:
    """With the words that clients look for; those of other sandboxes go on."""

    def wait(_sandbox_id: str, _message: Message) -> Messages:
        getattr(calls.sandboxes, what)["other"] = 1
        calls.streams.look()
        yield {"n": 1}
        getattr(calls.sandboxes, what)["abc"] = 1
        calls.streams.look()
        gevent.sleep(60)

    calls.stream = wait
    with calls.tell() as response:
        first, (flags, said) = envelopes(response.data)
    assert first == (0, {"n": 1})
    assert (flags, said["error"]["code"]) == (2, "unavailable")
    assert "sandbox was killed or reached its end of life" in said["error"]["message"]


def test_the_last_message_is_written_with_the_end(calls: Calls) -> None:
    """One write less, of the three that the shortest command has."""

    def tell(_sandbox_id: str, _message: Message) -> Messages:
        yield Last({"n": 1})

    calls.stream = tell
    with calls.tell() as response:
        (piece,) = response.iter_encoded()
    assert envelopes(piece) == [(0, {"n": 1}), (2, {})]


def test_the_next_message_is_asked_for_when_the_last_was_written(calls: Calls) -> None:
    """So a slow reader holds back whoever writes, and what was not written is known."""
    asked = []

    def count(_sandbox_id: str, _message: Message) -> Messages:
        for n in range(1000):
            asked.append(n)
            yield {"n": n}

    calls.stream = count
    response = calls.client.post(
        "/e2b/envd/abc/a.B/Tell", data=enveloped(b"{}"), content_type=STREAM, buffered=False
    )
    pieces: Iterator[bytes] = response.iter_encoded()
    for n in range(3):
        assert envelopes(next(pieces)) == [(0, {"n": n})]
        gevent.sleep(0)
        assert asked[-1] == n
    response.close()
