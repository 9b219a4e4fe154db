"""An application with the REST edge over services in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from gateway import messages, rest
from tests.unit.rest.fakes import CheckedClient, FakeReadiness, FakeSandboxes, add_socket

MAX_BODY_BYTES = 16 * 1024


@pytest.fixture
def sandboxes() -> FakeSandboxes:
    return FakeSandboxes()


@pytest.fixture
def readiness() -> FakeReadiness:
    return FakeReadiness()


@pytest.fixture
def app(sandboxes: FakeSandboxes, readiness: FakeReadiness, tmp_path: Path) -> Flask:
    app = Flask("gateway.app", static_folder=None)
    messages.install(app, tmp_path / "locale")
    rest.register(app, sandboxes=sandboxes, readiness=readiness, max_body_bytes=MAX_BODY_BYTES)
    add_socket(app)
    app.test_client_class = CheckedClient
    return app


@pytest.fixture
def client(app: Flask) -> CheckedClient:
    client = app.test_client()
    assert isinstance(client, CheckedClient)
    return client
