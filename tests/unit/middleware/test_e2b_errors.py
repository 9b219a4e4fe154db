"""Errors in E2B's form: each has a code and a message, and the status that its SDKs know."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug import exceptions as http_errors

from gateway import errors
from gateway.middleware import e2b_errors
from gateway.middleware.e2b_target import E2bTarget

ID = "0" * 32


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SandboxNotFound(ID), 404),
        (errors.TemplateNotFound(), 404),
        (errors.Unauthorized(), 401),
        (errors.TokenNotEnough(), 403),
        (errors.SandboxBusy(), 409),
        (errors.NameTaken(), 409),
        (errors.IdempotencyKeyReused(), 409),
        (errors.BadFields("x"), 400),
        (errors.BadMediaType("x"), 400),
        (errors.FeatureMissing("x"), 400),
        (errors.RateLimited(), 429),
        (errors.TooManySandboxes(), 429),
        (errors.CapacityExhausted(), 503),
        (errors.NoSpace(), 507),
        (http_errors.NotImplemented("none here"), 501),
        (http_errors.RequestEntityTooLarge(), 413),
        (KeyError("secret"), 500),
    ],
)
def test_every_error_has_a_code_and_a_message(error: Exception, status: int) -> None:
    """Their parsers need both, and map the status to an exception."""
    with Flask("t").test_request_context():
        answer = e2b_errors.of_control(error)

    assert answer.status_code == status
    said = answer.get_json()
    assert (said["code"], bool(said["message"])) == (status, True)
    assert "secret" not in answer.get_data(as_text=True)


def test_what_may_be_asked_again_says_when() -> None:
    """Newer SDKs try again by themselves: a limit that waiting does not lift says so."""
    with Flask("t").test_request_context():
        rate = e2b_errors.of_control(errors.RateLimited("", retry_after_s=2.1))
        full = e2b_errors.of_control(errors.CapacityExhausted())
        lasting = e2b_errors.of_control(errors.TooManySandboxes())
        wrong = e2b_errors.of_control(errors.BadFields("x"))

    assert rate.headers["Retry-After"] == "3"
    assert int(full.headers["Retry-After"]) > 0
    assert lasting.headers["Should-Retry"] == "false"
    assert "Retry-After" not in lasting.headers
    assert "Retry-After" not in wrong.headers


def test_the_host_is_not_spoken_of() -> None:
    """What the engine says names images and paths."""
    with Flask("t").test_request_context():
        answer = e2b_errors.of_control(errors.EngineRefused("/var/lib/docker/x"))

    assert answer.status_code == 503
    assert "docker" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            errors.SandboxNotFound(ID),
            {"sandboxId": ID, "message": "The sandbox was not found", "code": 502},
        ),
        (
            errors.PortClosed(),
            {
                "sandboxId": ID,
                "message": "The sandbox is running but port is not open",
                "port": 3000,
                "code": 502,
            },
        ),
    ],
)
def test_the_router_says_why_in_words_that_are_looked_for(
    error: errors.GatewayError, said: dict[str, object]
) -> None:
    """Of an error of the sandbox's the SDKs tell by the text what to raise."""
    environ = {"gateway.e2b_target": E2bTarget("port", ID, "3000")}
    with Flask("t").test_request_context(environ_overrides=environ):
        answer = e2b_errors.of_router(error)

    assert (answer.status_code, answer.get_json()) == (502, said)
