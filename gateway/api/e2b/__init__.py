"""E2B's protocol: what its SDKs call the control plane, and the service that they expect in each
sandbox (*envd*).

It stands on the same services as REST and WebSockets, and has none of its own. Its addresses are
those that `gateway.middleware.e2b_target` routes to; nobody can ask for them directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask

from gateway.api.e2b import (
    control_insight,
    control_lists,
    control_network,
    control_sandboxes,
    control_snapshots,
    control_templates,
    health,
    missing,
    unknown_addresses,
)
from gateway.api.e2b.awake import Awake
from gateway.api.e2b.backend import (
    ChangeService,
    CreationService,
    LifecycleService,
    SandboxService,
    SnapshotServices,
    Tokens,
)
from gateway.api.e2b.control_answers import Shown
from gateway.api.e2b.template_words import TemplateWords
from gateway.middleware import e2b_errors
from gateway.middleware.surfaces import WITHOUT_LIMIT, Surface

CONTROL = Surface("e2b_control", below="/e2b/control/", error_form=e2b_errors.of_control)
"""Errors are `{"code": <status>, "message": …}`."""

ENVD = Surface(
    "e2b_envd", below="/e2b/", max_body_bytes=WITHOUT_LIMIT, error_form=e2b_errors.of_router
)
"""Likewise, and what the sandbox is the reason of is 502. Routes bound their bodies themselves."""


@dataclass(frozen=True)
class ControlServices:
    """What the control plane stands on."""

    creation: CreationService
    sandboxes: SandboxService
    changes: ChangeService
    snapshots: SnapshotServices
    lifecycle: LifecycleService
    samples_of: control_insight.SamplesOf
    tokens: Tokens
    words: TemplateWords
    templates: control_templates.Templates
    domains: Sequence[str]
    with_root: bool


def register(app: Flask, services: ControlServices, data_plane: Sequence[Blueprint]) -> None:
    """Give `app`, where `surfaces.install` has been called, the routes of E2B's protocol."""
    sandboxes, changes = services.sandboxes, services.changes
    shown = Shown(services.tokens, services.domains)
    Awake(sandboxes, changes).install(app)
    CONTROL.register(
        app,
        control_sandboxes.blueprint(
            services.creation,
            sandboxes,
            changes,
            services.snapshots.restarting,
            services.words,
            shown,
            with_root=services.with_root,
        ),
        control_lists.blueprint(sandboxes),
        control_insight.blueprint(sandboxes, services.samples_of, services.lifecycle),
        control_network.blueprint(sandboxes),
        control_snapshots.blueprint(services.snapshots, sandboxes, shown),
        control_templates.blueprint(services.words, services.templates),
        missing.blueprint(),
        unknown_addresses.blueprint("control"),
    )
    ENVD.register(app, health.blueprint(sandboxes), *data_plane)
    ENVD.register(app, unknown_addresses.blueprint("data"))
