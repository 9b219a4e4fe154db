"""Routes about the gateway itself."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.api.rest import answers
from gateway.api.rest.backend import MetricsService, ReadinessService
from gateway.errors import NotReady, OperatorsOnly
from gateway.metrics import CONTENT_TYPE
from gateway.middleware import authentication
from gateway.schemas.models import Health, Readiness
from gateway.schemas.route_documentation import Reply, documented


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
        description="`checks` and `posture`, which name the host's versions, are for operators: "
        "whoever has a key that `SANDBOX_OPERATORS` names, or asks from the machine itself where "
        "no keys are configured. What is said may be a second old, of the posture ten.",
        tag="Service",
        replies={200: Reply(Readiness, "Everything that is needed works.")},
        errors=(NotReady,),
    )
    def readyz() -> Response:
        checks, posture = readiness.look()
        is_operator = authentication.is_operator()
        if not all(check.ok for check in checks.values()):
            if not is_operator:
                raise NotReady
            raise NotReady(
                checks={name: check.model_dump() for name, check in checks.items()},
                posture={name: check.model_dump() for name, check in posture.items()},
            )
        shown = Readiness(status="ready")
        if is_operator:
            shown = Readiness(status="ready", checks=checks, posture=posture)
        return answers.one(shown, without_none=True)

    @routes.get("/metrics")
    @documented(
        summary="What the gateway has counted",
        description="For Prometheus, with an operator's key (`SANDBOX_OPERATORS`). The numbers are "
        "those of all workers, whichever answers, and begin at zero when the gateway is started. "
        "While the store cannot be read, those about present sandboxes are left out.",
        tag="Service",
        replies={200: Reply(None, "The text format, 0.0.4.", media_type=CONTENT_TYPE)},
        errors=(OperatorsOnly,),
    )
    def show_metrics() -> Response:
        if not authentication.is_operator():
            raise OperatorsOnly
        return Response(metrics.text(), content_type=CONTENT_TYPE)

    return routes
