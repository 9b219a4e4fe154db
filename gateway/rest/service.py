"""Routes about the gateway itself."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.apidoc import Reply, documented
from gateway.errors import NotReady
from gateway.models import Health, Readiness
from gateway.rest import answers
from gateway.rest.backend import ReadinessService


def blueprint(readiness: ReadinessService) -> Blueprint:
    """`/healthz` and `/readyz`, over `readiness`."""
    routes = Blueprint("service", __name__)

    @routes.get("/healthz")
    @documented(
        summary="Is the process up?",
        description="Asks nobody else, so that a failing engine does not get the gateway killed.",
        tag="Service",
        replies={200: Reply(Health, "It is.")},
    )
    def healthz() -> Response:
        return answers.one(Health(status="ok"))

    @routes.get("/readyz")
    @documented(
        summary="Can sandboxes be served?",
        tag="Service",
        replies={200: Reply(Readiness, "Everything that is needed works.")},
        errors=(NotReady,),
    )
    def readyz() -> Response:
        checks, posture = readiness.look()
        if not all(check.ok for check in checks.values()):
            raise NotReady(
                checks={name: check.model_dump() for name, check in checks.items()},
                posture={name: check.model_dump() for name, check in posture.items()},
            )
        return answers.one(Readiness(status="ready", checks=checks, posture=posture))

    return routes
