"""Create: what a client may ask for, and asking twice."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.errors import (
    CapacityExhausted,
    GatewayError,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    NameTaken,
    TooManySandboxes,
)
from gateway.schemas.models.labels import MOST_LABELS, RESERVED_LABELS
from gateway.schemas.models.sandboxes import (
    MOST_VARIABLE_CHARACTERS,
    MOST_VARIABLES,
)
from tests.unit.api.rest.fakes import FakeSandboxes

EVERYTHING: dict[str, Any] = {
    "name": "build-7",
    "image": "sandbox-websocket-image",
    "cpus": 0.5,
    "memory_mb": 512,
    "pids": 256,
    "disk_mb": 2048,
    "env": {"STAGE": "test", "EMPTY": ""},
    "labels": {"team": "blue", "io.example/run": "7 è 沙"},
    "timeout": 7200,
    "timeout_action": "pause",
    "idle_timeout": 600.5,
    "idle_action": "pause",
    "network": "none",
    "isolation": "standard",
    "root": True,
    "snapshot": "base",
}

BAD = [
    *[("name", value) for value in ("", "-a", "A", "a_b", "a\n", "a" * 64, "0" * 32, 7)],
    *[("image", value) for value in ("", "x" * 256, 5, ["a"])],
    *[("cpus", value) for value in (0, -1, 0.04, 1025, "1", True)],
    *[("memory_mb", value) for value in (0, 31, 512.5, "512", 1048577)],
    *[("pids", value) for value in (0, 15, -1, 1.5, 1048577)],
    *[("disk_mb", value) for value in (0, 15, "2g", 104857601)],
    *[("env", value) for value in ([], "A=b", {"2ND": "x"}, {"A-B": "x"}, {"A=": "x"})],
    *[("env", value) for value in ({"": "x"}, {"A": "a\0b"}, {"A": 1}, {"A": None})],
    ("env", {f"V{number}": "" for number in range(MOST_VARIABLES + 1)}),
    *[("labels", value) for value in (["a"], {"": "x"}, {"-a": "x"}, {"a b": "x"}, {"a=b": "x"})],
    *[("labels", value) for value in ({"a\n": "x"}, {"a": "b\n"}, {"a": 1}, {"a": "x" * 257})],
    ("labels", {"a" * 64: "x"}),
    ("labels", {f"l{number}": "" for number in range(MOST_LABELS + 1)}),
    *[("timeout", value) for value in (0, 0.5, -1, "60", True, 366 * 86400 + 1)],
    *[("idle_timeout", value) for value in (0, 0.5, -1, "60", 366 * 86400 + 1)],
    *[("timeout_action", value) for value in ("stop", "", None, 1)],
    *[("idle_action", value) for value in ("stop", "", None, 1)],
    *[("network", value) for value in ("host", "container:abc", "", 1)],
    *[("snapshot", value) for value in ("", "-a", "A", "a_b", "a" * 65, 7)],
    *[("isolation", value) for value in ("none", "", "runsc", 1)],
]


def test_all_options_reach_the_service(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """As they were said; what was not said is not made up at the edge."""
    assert client.post("/sandboxes", json=EVERYTHING).status_code == 201
    assert client.post("/sandboxes", json={"cpus": 2}).status_code == 201

    (all_of_them, _), (one, _) = sandboxes.created
    assert all_of_them.model_dump() == EVERYTHING
    assert one.model_dump(exclude_unset=True) == {"cpus": 2}


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_values_are_refused_by_name(
    client: FlaskClient, sandboxes: FakeSandboxes, field: str, value: object
) -> None:
    """422, `loc` leads to the field, and nothing is created."""
    response = client.post("/sandboxes", json={field: value})

    assert response.status_code == 422
    assert response.json["code"] == "invalid_fields"
    assert {error["loc"][0] for error in response.json["errors"]} == {field}
    assert sandboxes.created == []


def test_all_bad_fields_are_named_at_once(client: FlaskClient) -> None:
    """A client that has three mistakes need not ask three times."""
    response = client.post("/sandboxes", json={"cpus": 0, "pids": 0, "colour": "blue"})

    assert {error["loc"][0] for error in response.json["errors"]} == {"cpus", "pids", "colour"}


def test_what_is_refused_is_not_repeated(client: FlaskClient) -> None:
    """Variables may be secrets; the answer may stand in a log."""
    response = client.post("/sandboxes", json={"env": {"TOKEN": "s3cret\0"}})

    assert response.status_code == 422
    assert "s3cret" not in response.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"labels": {RESERVED_LABELS + "instance": "x"}}, RESERVED_LABELS),
        ({"env": {"AGENT_COMMAND_ID": "x"}}, "AGENT_COMMAND_ID"),
        ({"isolation": "strict", "network": "bridge"}, "`strict` has no network"),
    ],
)
def test_what_does_not_go_together_is_refused(
    client: FlaskClient, sandboxes: FakeSandboxes, body: dict[str, Any], said: str
) -> None:
    """What the gateway itself writes is not a client's, and nothing is silently dropped."""
    response = client.post("/sandboxes", json=body)

    assert response.status_code == 422
    [error] = response.json["errors"]
    assert said in error["msg"]
    assert sandboxes.created == []


def test_the_environment_is_bounded_as_a_whole(app: Any, sandboxes: FakeSandboxes) -> None:
    """It is handed to every process of the sandbox."""
    app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
    client = app.test_client()
    half = "x" * (MOST_VARIABLE_CHARACTERS // 2)

    assert client.post("/sandboxes", json={"env": {"A": half}}).status_code == 201
    assert client.post("/sandboxes", json={"env": {"A": half, "B": half}}).status_code == 422
    assert len(sandboxes.created) == 1


def test_the_same_key_makes_one_sandbox(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """A client that lost the answer asks again, and learns that it did."""
    first, again, other = (
        client.post("/sandboxes", headers={"Idempotency-Key": key}) for key in ("k1", "k1", "k2")
    )

    assert [one.status_code for one in (first, again, other)] == [201, 201, 201]
    assert first.json == again.json != other.json
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [key for _, key in sandboxes.created] == ["k1", "k2"]


def test_without_a_key_every_create_is_a_new_one(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """Two clients that want the same thing want two of it."""
    assert client.post("/sandboxes").json != client.post("/sandboxes").json
    assert [key for _, key in sandboxes.created] == [None, None]


@pytest.mark.parametrize("key", ["a", "x" * 255, "job 7", '"quoted"', "~!"])
def test_any_visible_text_is_a_key(client: FlaskClient, sandboxes: FakeSandboxes, key: str) -> None:
    """Clients send UUIDs, names and hashes; the draft standard's quotes are part of the text."""
    assert client.post("/sandboxes", headers={"Idempotency-Key": key}).status_code == 201
    assert sandboxes.created[0][1] == key


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "è", " a", "a "])
def test_a_malformed_key_is_refused(
    client: FlaskClient, sandboxes: FakeSandboxes, key: str
) -> None:
    """A key that was cut or changed on the way would stand for another request."""
    response = client.post("/sandboxes", headers={"Idempotency-Key": key})

    assert response.status_code == 400
    assert response.json["code"] == "bad_request"
    assert "Idempotency-Key" in response.json["detail"]
    assert sandboxes.created == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (IdempotencyKeyReused(), 422),
        (IdempotencyKeySpent(), 409),
        (NameTaken(), 409),
        (TooManySandboxes(), 429),
        (CapacityExhausted("the queue is full"), 503),
    ],
)
def test_refusals_have_their_status(
    client: FlaskClient, sandboxes: FakeSandboxes, failure: GatewayError, status: int
) -> None:
    """And those that pass say when to come again."""
    sandboxes.failure = failure

    response = client.post("/sandboxes")

    assert response.status_code == status
    assert response.json["code"] == failure.code
    assert ("Retry-After" in response.headers) == (status in (429, 503))
