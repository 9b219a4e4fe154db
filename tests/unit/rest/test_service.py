"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from flask.testing import FlaskClient

from gateway.errors import EngineUnavailable
from gateway.models import Check
from tests.unit.rest.fakes import FakeMetrics, FakeReadiness, FakeSandboxes


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
