"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.errors import EngineUnavailable
from gateway.identity.access import Access
from gateway.middleware import authentication
from gateway.schemas.models import Check
from tests.support.keys import ALICE, BOB, bearer
from tests.unit.api.rest.fakes import FakeMetrics, FakeReadiness, FakeSandboxes


def test_healthz_asks_nobody(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """A supervisor that restarts the gateway because the engine is away makes things worse."""
    sandboxes.failure = EngineUnavailable()

    response = client.get("/healthz")

    assert response.status_code == 200
    assert response.json == {"status": "ok"}


def test_readyz_shows_what_works(client: FlaskClient) -> None:
    """With details, so that one call tells the versions."""
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json["status"] == "ready"
    assert response.json["checks"]["engine"] == {"ok": True, "detail": "works"}
    assert {*response.json["checks"]} == {"engine", "image", "store"}


def test_readyz_shows_how_safe_the_host_is(client: FlaskClient) -> None:
    """What the host does not enforce is said, and does not take the gateway out of service."""
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json["posture"] == {"lsm": {"ok": False, "level": "warning", "detail": "none"}}


def test_readyz_says_what_is_wrong(client: FlaskClient, readiness: FakeReadiness) -> None:
    """503 for load balancers, a problem document with all checks for people."""
    readiness.found["engine"] = Check(ok=False, detail="nobody answers")

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "not_ready"
    assert response.json["checks"] == {
        "engine": {"ok": False, "detail": "nobody answers"},
        "image": {"ok": True, "detail": "works"},
        "store": {"ok": True, "detail": "works"},
    }
    assert {*response.json["posture"]} == {"lsm"}
    assert int(response.headers["Retry-After"]) > 0


def test_metrics_are_given_as_prometheus_asks_for_them(
    client: FlaskClient, metrics: FakeMetrics
) -> None:
    """It reads the format off the content type; another one would be refused by newer versions."""
    response = client.get("/metrics")

    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.data == metrics.said


def _with_keys(app: Flask, access: Access) -> FlaskClient:
    authentication.install(app, access, operators={"alice"})
    return app.test_client()


def test_an_operators_key_shows_the_host(app: Flask, access: Access) -> None:
    """Of several tenants, the one whose name is configured."""
    client = _with_keys(app, access)

    assert client.get("/metrics", headers=bearer(ALICE)).status_code == 200
    ready = client.get("/readyz", headers=bearer(ALICE)).json
    assert {*ready} == {"status", "checks", "posture"}


def test_other_keys_show_only_whether_it_is_ready(
    app: Flask, access: Access, readiness: FakeReadiness
) -> None:
    """Versions with their known holes, and how many sandboxes all tenants have, are not theirs."""
    client = _with_keys(app, access)

    assert client.get("/readyz", headers=bearer(BOB)).json == {"status": "ready"}
    readiness.found["engine"] = Check(ok=False, detail="Docker Engine 20.10.24 at 10.0.0.1")
    unready = client.get("/readyz", headers=bearer(BOB))
    assert (unready.status_code, unready.json["code"]) == (503, "not_ready")
    assert not {"checks", "posture"} & {*unready.json}
    assert "20.10" not in unready.text
    refused = client.get("/metrics", headers=bearer(BOB))
    assert (refused.status_code, refused.json["code"]) == (403, "operators_only")


def test_the_token_of_an_operators_sandbox_shows_nothing(app: Flask, access: Access) -> None:
    """It opens that sandbox only."""
    client = _with_keys(app, access)
    token = bearer(access.issue("a1").text)

    assert client.get("/metrics", headers=token).status_code == 403
    assert client.get("/readyz", headers=token).status_code == 403


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.7", {}),
        ("", {}),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}),
        ("::1", {"Via": "1.1 proxy"}),
    ],
)
def test_without_keys_only_the_machine_itself_sees_the_host(
    client: FlaskClient, address: str, headers: dict[str, str]
) -> None:
    """`SANDBOX_INSECURE=1` opens the port to others, and a proxy asks for others."""
    asked = {"headers": headers, "environ_overrides": {"REMOTE_ADDR": address}}

    assert client.get("/readyz", **asked).json == {"status": "ready"}
    assert client.get("/metrics", **asked).status_code == 403
