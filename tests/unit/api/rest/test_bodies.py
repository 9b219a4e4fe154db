"""Bodies of `POST /sandboxes`: strict, bounded, and never a crash."""

from __future__ import annotations

import gzip
import json
import time
from io import BytesIO

import gevent
import pytest
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize

from gateway.api.asking import json_bodies
from tests.unit.api.rest.conftest import MAX_BODY_BYTES
from tests.unit.api.rest.fakes import FakeSandboxes

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b"", JSON),
        (b"", "text/plain"),
        (b"", "application/x-www-form-urlencoded"),
        (b"{}", JSON),
        (b" { } \r\n", JSON),
        (b"{}", "application/json; charset=utf-8"),
        (b"{}", "Application/JSON"),
        (b"{}", "application/vnd.sandbox+json"),
    ],
)
def test_empty_bodies_and_objects_are_taken(
    client: FlaskClient, body: bytes, content_type: str | None
) -> None:
    """An empty body is fine whatever type it claims: curl and requests differ there."""
    assert client.post("/sandboxes", data=body, content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b" ",
        b"nonsense",
        b"{'a': 1}",
        b"{} {}",
        b"{}]",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b"-Infinity",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": 1, "\\u0061": 2}',
        b"1" * 10_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"a": "\x00"}',
        b"\x00",
        b"[" * 10_000,
        b"[" * 8_000 + b"]" * 8_000,
        b'{"a":' * 3_000,
        b'{"a":' * 2_500 + b"1" + b"}" * 2_500,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_refused(
    client: FlaskClient, sandboxes: FakeSandboxes, body: bytes
) -> None:
    """Malformed, ambiguous or built to exhaust the parser: 400 or 422, and nothing is created."""
    response = client.post("/sandboxes", data=body, content_type=JSON)

    assert response.status_code in (400, 422)
    assert response.json["code"] in ("bad_request", "invalid_fields")
    assert len(response.data) < 1000
    assert sandboxes.kept == {}


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"1e999", b"true", b"[{}]"])
def test_json_that_is_no_object_is_422(client: FlaskClient, body: bytes) -> None:
    """Understood, but not allowed."""
    response = client.post("/sandboxes", data=body, content_type=JSON)

    assert response.status_code == 422
    assert response.json["code"] == "invalid_fields"
    assert response.json["errors"]


def test_unknown_fields_are_422_and_named(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """A misspelt limit must not be ignored."""
    response = client.post("/sandboxes", json={"memroy_mb": 64})

    assert response.status_code == 422
    assert response.json["errors"] == [
        {
            "loc": ["memroy_mb"],
            "msg": "Extra inputs are not permitted",
            "type": "extra_forbidden",
        }
    ]
    assert sandboxes.kept == {}


def test_refusals_are_bounded(client: FlaskClient) -> None:
    """Thousands of refused fields with long names make no large answer, and echo no values."""
    body = {f"{number}{'x' * 1_000}": "hunter2" for number in range(15)}
    body |= {str(number): "hunter2" for number in range(30)}

    response = client.post("/sandboxes", json=body)

    assert response.status_code == 422
    assert len(response.json["errors"]) == 20
    assert len(response.data) < 8_000
    assert b"hunter2" not in response.data


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/html",
        "application/jsonx",
        "\x00",
    ],
)
def test_a_body_of_another_type_is_415(
    client: FlaskClient, sandboxes: FakeSandboxes, content_type: str | None
) -> None:
    """A web page can send these to another origin without asking; JSON it cannot."""
    response = client.post("/sandboxes", data=b"{}", content_type=content_type)

    assert response.status_code == 415
    assert response.json["code"] == "unsupported_media_type"
    assert sandboxes.kept == {}


@pytest.mark.parametrize(
    ("coding", "status"),
    [("gzip", 415), ("GZIP", 415), ("br", 415), ("gzip, identity", 415), ("identity", 201)],
)
def test_a_packed_body_is_415(client: FlaskClient, coding: str, status: int) -> None:
    """It was read as it came, and called no UTF-8."""
    body = gzip.compress(b"{}") if status == 415 else b"{}"
    answer = client.post(
        "/sandboxes", data=body, content_type=JSON, headers={"Content-Encoding": coding}
    )

    assert answer.status_code == status
    if status == 415:
        assert answer.json["code"] == "unsupported_media_type"
        assert coding.lower() in answer.json["detail"]


def test_a_body_over_the_limit_is_413(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """By its Content-Length, before it is read."""
    fits = b"{" + b" " * (MAX_BODY_BYTES - 2) + b"}"
    assert client.post("/sandboxes", data=fits, content_type=JSON).status_code == 201

    response = client.post("/sandboxes", data=fits + b" ", content_type=JSON)

    assert response.status_code == 413
    assert response.json["code"] == "body_too_large"
    assert len(sandboxes.kept) == 1


def test_a_chunked_body_over_the_limit_is_413(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """werkzeug cuts it at the limit in silence, and what is left may be valid JSON."""
    body = b"{}" + b" " * MAX_BODY_BYTES + b"garbage"

    response = client.post(
        "/sandboxes",
        input_stream=BytesIO(body),
        content_type=JSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == 413
    assert sandboxes.kept == {}


def test_a_chunked_body_within_the_limit_is_taken(client: FlaskClient) -> None:
    """Clients that stream do not know the length."""
    response = client.post(
        "/sandboxes",
        input_stream=BytesIO(b"{}"),
        content_type=JSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == 201


class _BrokenChunks(BytesIO):
    def readinto(self, _buffer: object, /) -> int:
        raise InvalidChunkSize(b"zz")


def test_broken_chunks_are_a_bad_request(client: FlaskClient) -> None:
    """gunicorn raises its own error when a view reads the body. It is not ours but the client's."""
    response = client.post(
        "/sandboxes",
        input_stream=_BrokenChunks(b"zz"),
        content_type=JSON,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == 400
    assert response.json["code"] == "bad_request"


def test_a_body_cut_short_is_a_bad_request(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """The client went away while it sent; what came may be JSON by accident."""
    response = client.post(
        "/sandboxes",
        input_stream=BytesIO(b"{}"),
        content_type=JSON,
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": "10"},
    )

    assert response.status_code == 400
    assert sandboxes.kept == {}


class _NeverComplete(BytesIO):
    def readinto(self, _buffer: object, /) -> int:
        gevent.sleep(10)
        return 0


def test_a_body_that_never_comes_is_408(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn's gevent worker would hold the request for ever."""
    monkeypatch.setattr(json_bodies, "WITHIN_S", 0.05)

    response = client.post("/sandboxes", input_stream=_NeverComplete(b"{}"), content_type=JSON)

    assert response.status_code == 408
    assert response.json["code"] == "body_timeout"


def test_messages_of_the_parser_are_short(client: FlaskClient) -> None:
    """The body is not repeated in the answer."""
    body = json.dumps({"password": "hunter2"})[:-1].encode()

    response = client.post("/sandboxes", data=body, content_type=JSON)

    assert b"hunter2" not in response.data


WRONG_NAMES = {
    "variables of a sandbox": ("/sandboxes", {"env": {f"{n}x": "" for n in range(80_000)}}),
    "labels": ("/sandboxes", {"labels": {f"-{n}": "" for n in range(80_000)}}),
    "values": ("/sandboxes", {"labels": {f"n{n}": 0 for n in range(80_000)}}),
    "fields": ("/sandboxes", {f"f{n}": "" for n in range(80_000)}),
    "variables of a command": (
        "/sandboxes/a1/commands",
        {"command": "true", "env": {f"{n}x": "" for n in range(80_000)}},
    ),
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_tens_of_thousands_of_wrong_names_cost_little(
    app: Flask, client: FlaskClient, sandbox: str, name: str
) -> None:
    """The look ends at the twentieth: 80,000 cost 0.9 s, in which the worker answered nobody."""
    app.config["MAX_CONTENT_LENGTH"] = 4 * 1024 * 1024
    path, body = WRONG_NAMES[name]
    raw = json.dumps(body)
    begun = time.process_time()

    response = client.post(path, data=raw, content_type="application/json")

    assert time.process_time() - begun < 0.45
    assert response.status_code == 422
    assert len(response.json["errors"]) == 20
    assert "at least 20" in response.json["detail"]


def test_a_worker_goes_on_while_a_large_body_is_read(app: Flask) -> None:
    """A mebibyte of empty objects takes 0.3 s; meanwhile others get their turns."""
    app.config["MAX_CONTENT_LENGTH"] = 2 * 1024 * 1024
    raw = b'{"image":[' + b"{}," * 300_000 + b"0]}"
    reading = gevent.spawn(
        lambda: app.test_client().post("/sandboxes", data=raw, content_type="application/json")
    )
    turns = 0
    while not reading.ready():
        gevent.sleep(0.001)
        turns += 1

    assert reading.get().status_code == 422
    assert turns > 5


def test_a_type_with_thousands_of_parameters_is_415(client: FlaskClient) -> None:
    """They would be read one by one."""
    content_type = "application/json;" + "a=b;" * 2000

    assert client.post("/sandboxes", data="{}", content_type=content_type).status_code == 415
