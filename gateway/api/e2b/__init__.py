"""E2B's protocol: what its SDKs call the control plane, and the service that they expect in each
sandbox (*envd*).

It stands on the same services as REST and WebSockets, and has none of its own. Its addresses are
those that `gateway.middleware.e2b_target` routes to; nobody can ask for them directly.
"""

from __future__ import annotations

from flask import Blueprint, Flask

from gateway.api.e2b import health, unknown_addresses
from gateway.api.e2b.backend import SandboxService
from gateway.middleware import e2b_errors
from gateway.middleware.surfaces import WITHOUT_LIMIT, Surface

CONTROL = Surface("e2b_control", below="/e2b/control/", error_form=e2b_errors.of_control)
"""Errors are `{"code": <status>, "message": …}`."""

ENVD = Surface(
    "e2b_envd", below="/e2b/", max_body_bytes=WITHOUT_LIMIT, error_form=e2b_errors.of_router
)
"""Likewise, and what the sandbox is the reason of is 502. Routes bound their bodies themselves."""


def register(app: Flask, *, sandboxes: SandboxService, more: list[Blueprint]) -> None:
    """Give `app`, where `surfaces.install` has been called, the routes of E2B's protocol. `more`
    are those of the data plane."""
    CONTROL.register(app, unknown_addresses.blueprint("control"))
    ENVD.register(app, health.blueprint(sandboxes), *more, unknown_addresses.blueprint("data"))
