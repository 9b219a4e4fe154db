"""Every error on every route is a problem document."""

from __future__ import annotations

import logging

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from gateway import errors
from gateway.errors import GatewayError
from gateway.middleware.problem_documents import status_of
from tests.unit.api.rest.fakes import FakeSandboxes


def _subclasses(kind: type[GatewayError]) -> list[type[GatewayError]]:
    below = [found for sub in kind.__subclasses__() for found in _subclasses(sub)]
    return [kind, *below]


def test_an_unknown_route_is_not_found(client: FlaskClient) -> None:
    """All members of RFC 9457 and the two of ours, nothing else."""
    response = client.get("/nothing")

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "urn:sandbox-gateway:problem:not_found",
        "title": "There is nothing at this address",
        "status": 404,
        "detail": response.json["detail"],
        "code": "not_found",
        "message": "There is nothing at this address",
    }


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_a_wrong_method_keeps_allow(client: FlaskClient, method: str) -> None:
    """RFC 9110, section 15.5.6: a 405 names the methods there are."""
    response = client.open("/sandboxes", method=method)

    assert response.status_code == 405
    assert response.json["code"] == "method_not_allowed"
    assert {*response.allow} == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize(
    "failure",
    [
        errors.EngineFault("x"),
        errors.EngineUnavailable("cannot connect to unix:///run/secret.sock"),
        errors.EngineTimeout("x"),
        errors.EngineRefused("x"),
        errors.ContainerGone("x"),
        errors.ImageMissing("x"),
        errors.StoreUnavailable("/var/lib/secret.db is locked"),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sandboxes"),
        ("GET", "/sandboxes"),
        ("GET", "/sandboxes/a1"),
        ("DELETE", "/sandboxes/a1"),
    ],
)
def test_a_fault_of_the_host_is_503_with_retry_after(
    client: FlaskClient,
    sandboxes: FakeSandboxes,
    caplog: pytest.LogCaptureFixture,
    failure: errors.HostFault,
    method: str,
    path: str,
) -> None:
    """What the engine said is for the log: it names paths and images of the host."""
    sandboxes.failure = failure

    response = client.open(path, method=method)

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json["code"] == failure.code
    assert "secret" not in response.text
    assert str(failure) in caplog.text
    assert response.json["instance"] in caplog.text


def test_an_unexpected_exception_is_500_and_tells_nothing(
    client: FlaskClient, sandboxes: FakeSandboxes, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log, under the name that the client can report."""
    sandboxes.failure = KeyError("a secret")

    response = client.get("/sandboxes/zyx", headers={"Accept-Language": "it"})

    assert response.status_code == 500
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "internal_error"
    assert response.json["message"] == "Errore interno"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert response.json["instance"] in record.getMessage()
    assert "zyx" not in record.getMessage(), "an id is a capability and has no place in the log"


def test_testing_and_debug_do_not_change_errors(app: Flask, sandboxes: FakeSandboxes) -> None:
    """Flask lets exceptions through in these modes unless a handler is there."""
    app.testing = app.debug = True
    sandboxes.failure = ValueError("a secret")

    response = app.test_client().get("/sandboxes")

    assert response.status_code == 500
    assert "secret" not in response.text


def test_errors_without_a_status_are_internal(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """A SettingsError during a request is our mistake, and its text is for the operator."""
    sandboxes.failure = errors.SettingsError("SANDBOX_IMAGE='a secret' is wrong")

    response = client.get("/sandboxes")

    assert response.status_code == 500
    assert response.json["code"] == "internal_error"
    assert "secret" not in response.text


@pytest.mark.parametrize("status", [401, 403, 406, 409, 410, 411, 416, 418, 429, 451, 501, 503])
def test_any_http_exception_is_a_problem_document(app: Flask, status: int) -> None:
    """Also those for which there is no error of ours yet; unknown to the document, though."""
    app.test_client_class = None
    app.add_url_rule("/failing", view_func=lambda: abort(status))

    response = app.test_client().get("/failing", headers={"Accept-Language": "it"})

    assert response.status_code == response.json["status"] == status
    assert response.content_type == "application/problem+json"
    assert response.json["code"].isidentifier()
    assert response.json["type"] == f"urn:sandbox-gateway:problem:{response.json['code']}"
    assert response.json["message"] in ("La richiesta non è valida", "Errore interno")


def test_a_websocket_address_asked_by_http_is_426(client: FlaskClient) -> None:
    """RFC 9110, section 15.5.22: with the protocol to upgrade to."""
    response = client.get("/ws/a1")

    assert response.status_code == 426
    assert response.json["code"] == "upgrade_required"
    assert response.headers["Upgrade"] == "websocket"


def test_half_an_upgrade_is_still_426(client: FlaskClient) -> None:
    """Proxies that do not know WebSockets drop `Connection`."""
    assert client.get("/ws/a1", headers={"Upgrade": "websocket"}).status_code == 426


def test_an_upgrade_of_a_plain_address_is_a_bad_request(client: FlaskClient) -> None:
    """And not a hint to upgrade, which is what was tried."""
    response = client.get("/healthz", headers={"Connection": "Upgrade", "Upgrade": "websocket"})

    assert response.status_code == 400
    assert response.json["code"] == "bad_request"
    assert "Upgrade" not in response.headers


@pytest.mark.parametrize("kind", _subclasses(GatewayError), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_of_its_kind(kind: type[GatewayError]) -> None:
    """4xx is the caller's fault, 5xx is not. What has no status must never reach a client."""
    status = status_of(kind)

    if issubclass(kind, errors.ClientFault):
        assert 400 <= status < 500
    elif kind is GatewayError or issubclass(kind, errors.SettingsError):
        assert status == 500
    else:
        assert status in (502, 503, 507)


def test_codes_are_unique() -> None:
    """A code means one thing; only a bare parent may share it with a child."""
    by_code: dict[str, list[type[GatewayError]]] = {}
    for kind in _subclasses(GatewayError):
        by_code.setdefault(kind.code, []).append(kind)

    for first, *others in by_code.values():
        assert all(issubclass(other, first) for other in others)
