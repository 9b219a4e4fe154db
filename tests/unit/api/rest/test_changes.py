"""A sandbox's life over REST: deadlines and labels, pause and resume, use, and its certificate."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.errors import ContainerGone, EngineTimeout, GatewayError, SandboxBusy, SandboxNotFound
from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes

MIB = 1024 * 1024

CHANGEABLE = [
    ("patch", "/sandboxes/a1"),
    ("post", "/sandboxes/a1/pause"),
    ("post", "/sandboxes/a1/resume"),
    ("get", "/sandboxes/a1/stats"),
    ("get", "/sandboxes/a1/events"),
]


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"timeout": 7200}, {"timeout": 7200.0}),
        ({"timeout": None}, {"timeout": None}),
        ({"idle_timeout": 1}, {"idle_timeout": 1.0}),
        ({"labels": {"run": "7"}}, {"labels": {"run": "7"}}),
        ({"labels": {}}, {"labels": {}}),
        ({}, {}),
    ],
)
def test_a_change_changes_what_it_names(
    client: FlaskClient, sandboxes: FakeSandboxes, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    """Only that: null is a value, and what is left out stays."""
    sandboxes.kept["a1"] = FakeSandbox("a1", labels={"team": "blue"}, timeout=60.0)
    before = client.get("/sandboxes/a1").json

    response = client.patch("/sandboxes/a1", json=body)

    assert response.status_code == 200
    assert response.json == before | changed
    assert client.get("/sandboxes/a1").json == response.json


def test_a_change_may_be_empty(client: FlaskClient, sandbox: str) -> None:
    """As any body here that needs no field."""
    assert client.patch("/sandboxes/a1").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": "60"}, "timeout"),
        ({"timeout": 366 * 86400 + 1}, "timeout"),
        ({"idle_timeout": 0}, "idle_timeout"),
        ({"idle_timeout": None}, "idle_timeout"),
        ({"labels": None}, "labels"),
        ({"labels": {"a b": "x"}}, "labels"),
        ({"memory_mb": 512}, "memory_mb"),
        ({"idle_action": "pause"}, "idle_action"),
    ],
)
def test_a_bad_change_is_refused_by_name(
    client: FlaskClient, sandboxes: FakeSandboxes, sandbox: str, body: dict[str, Any], field: str
) -> None:
    """As a whole, and what cannot be changed is not ignored."""
    before = sandboxes.kept["a1"]

    response = client.patch("/sandboxes/a1", json=body | {"labels": {"x": "y"}} | body)

    assert response.status_code == 422
    assert {error["loc"][0] for error in response.json["errors"]} == {field}
    assert sandboxes.kept["a1"] == before


def test_the_gateways_own_labels_cannot_be_set(client: FlaskClient, sandbox: str) -> None:
    """They tie containers to their gateway."""
    response = client.patch("/sandboxes/a1", json={"labels": {"io.sandbox-gateway.instance": "x"}})

    assert response.status_code == 422


def test_pause_and_resume_answer_the_sandbox(client: FlaskClient, sandbox: str) -> None:
    """As it is then; doing it again changes nothing."""
    for path, status in (("pause", "paused"), ("pause", "paused"), ("resume", "idle")):
        response = client.post(f"/sandboxes/a1/{path}")

        assert response.status_code == 200
        assert response.json["status"] == status
        assert client.get("/sandboxes/a1").json == response.json


def test_stats_have_use_and_limits(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """Bytes, cores and processes; what the engine does not say is null, not zero."""
    sandboxes.kept["a1"] = FakeSandbox("a1", cpus=0.5, memory_mb=512, pids=256)

    assert client.get("/sandboxes/a1/stats").json == {
        "cpu": {"cores": 0.25, "limit": 0.5, "total_s": 1.5},
        "memory_bytes": {"used": 1024.0, "limit": 512.0 * MIB},
        "pids": {"used": 3.0, "limit": 256.0},
        "disk_bytes": None,
        "network": {"received_bytes": 10, "sent_bytes": 20},
    }


@pytest.mark.parametrize(("method", "path"), CHANGEABLE)
def test_an_unknown_sandbox_is_404(client: FlaskClient, method: str, path: str) -> None:
    """On all its routes."""
    response = client.open(path, method=method)

    assert (response.status_code, response.json["code"]) == (404, "sandbox_not_found")


@pytest.mark.parametrize(("method", "path"), CHANGEABLE)
def test_an_impossible_id_goes_no_further(
    client: FlaskClient, sandboxes: FakeSandboxes, method: str, path: str
) -> None:
    """The engine's SDK would put it into an address."""
    response = client.open(path.replace("a1", "A..1"), method=method)

    assert response.status_code == 404
    assert sandboxes.asked == []


@pytest.mark.parametrize("path", ["pause", "resume", "stats"])
@pytest.mark.parametrize(
    ("failure", "status"),
    [(SandboxBusy("it is being created"), 409), (ContainerGone("x"), 503), (EngineTimeout(), 503)],
)
def test_what_does_not_work_has_its_status(
    client: FlaskClient, sandboxes: FakeSandboxes, path: str, failure: GatewayError, status: int
) -> None:
    """Each announced in the document."""
    sandboxes.failure = failure
    method = "get" if path == "stats" else "post"

    response = client.open(f"/sandboxes/a1/{path}", method=method)

    assert (response.status_code, response.json["code"]) == (status, failure.code)


@pytest.mark.parametrize("language", ["en", "it", "zh"])
def test_a_certificate_is_in_the_404(
    client: FlaskClient, sandboxes: FakeSandboxes, language: str
) -> None:
    """Why it is no more, and what ran last; its texts are not translated."""
    command = {
        "request_id": "r1",
        "command": "make",
        "started_at": 1.5,
        "returncode": None,
        "output": "…",
        "error": "",
        "checkpoint": None,
    }
    ended = {
        "reason": "oom",
        "at": 1648371234.567,
        "detail": "the kernel killed it for want of memory",
        "exit_code": 137,
        "last_commands": [command],
    }
    sandboxes.failure = SandboxNotFound("a1")
    sandboxes.failure.members["ended"] = ended

    for path in ("/sandboxes/a1", "/sandboxes/a1/commands", "/sandboxes/a1/stats"):
        response = client.get(path, headers={"Accept-Language": language})
        assert response.status_code == 404
        assert response.json["ended"] == ended


def test_without_a_certificate_nothing_is_said(client: FlaskClient) -> None:
    """A sandbox that never was has no end."""
    assert "ended" not in client.get("/sandboxes/a1").json
