"""Routes about the gateway itself."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.apidoc import Reply, documented
from gateway.errors import NotReady
from gateway.metrics import CONTENT_TYPE
from gateway.models import Health, Readiness
from gateway.rest import answers
from gateway.rest.backend import MetricsService, ReadinessService


def blueprint(readiness: ReadinessService, metrics: MetricsService) -> Blueprint:
    """`/healthz`, `/readyz` and `/metrics`."""
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

    @routes.get("/metrics")
    @documented(
        summary="What the gateway has counted",
        description="For Prometheus. The numbers are those of all workers, whichever answers, and "
        "begin at zero when the gateway is started. While the store cannot be read, those about "
        "present sandboxes are left out.",
        tag="Service",
        replies={200: Reply(None, "The text format, 0.0.4.", media_type=CONTENT_TYPE)},
    )
    def show_metrics() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return routes
