"""The core of the contract: what existing clients depend on word for word."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes


def test_create_answers_201_with_id_message_and_location(client: FlaskClient) -> None:
    """Clients read exactly these three fields and may follow Location."""
    response = client.post("/sandboxes")

    assert response.status_code == 201
    assert response.content_type == "application/json"
    sandbox_id = response.json["sandbox_id"]
    assert response.json == {
        "sandbox_id": sandbox_id,
        "status": "created",
        "message": "Sandbox container created successfully",
    }
    assert response.headers["Location"] == f"/sandboxes/{sandbox_id}"
    assert client.get(response.headers["Location"]).status_code == 200


def test_location_respects_the_mount_point(client: FlaskClient) -> None:
    """Behind a proxy that mounts the gateway below a path, Location must lead there."""
    response = client.post("/sandboxes", base_url="http://localhost/below")

    assert response.headers["Location"].startswith("/below/sandboxes/")


def test_list_is_a_bare_array(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """No envelope: old clients iterate over the body."""
    assert client.get("/sandboxes").json == []

    sandboxes.kept = {"a1": FakeSandbox("a1"), "b2": FakeSandbox("b2", status="connected")}

    listed = client.get("/sandboxes").json
    assert [(one["sandbox_id"], one["status"]) for one in listed] == [
        ("a1", "idle"),
        ("b2", "connected"),
    ]


def test_show_answers_the_sandbox_object(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """The four fields of the core, as old clients read them, and what was asked for."""
    sandboxes.kept["a1"] = FakeSandbox("a1")

    shown = client.get("/sandboxes/a1").json
    core = {
        "sandbox_id": "a1",
        "status": "idle",
        "created_at": 1648371234.567,
        "ip_address": "172.17.0.2",
    }
    assert shown.items() >= core.items()
    assert shown.keys() - core.keys() == {
        *("name", "image", "isolation", "network", "root", "cpus", "memory_mb", "pids"),
        "disk_mb",
        *("labels", "timeout", "timeout_action", "expires_at", "idle_timeout", "idle_action"),
    }


def test_ip_address_is_null_without_a_network(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """The field stays; leaving it out would break readers."""
    sandboxes.kept["a1"] = FakeSandbox("a1", ip_address=None)

    assert client.get("/sandboxes/a1").json["ip_address"] is None


def test_delete_answers_a_message_and_forgets(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """200 with a body, not 204: the core says so. A second delete finds nothing."""
    sandboxes.kept["a1"] = FakeSandbox("a1")

    response = client.delete("/sandboxes/a1")

    assert response.status_code == 200
    assert response.json == {"message": "Sandbox a1 deleted successfully"}
    assert client.delete("/sandboxes/a1").status_code == 404


@pytest.mark.parametrize("method", ["get", "delete"])
def test_an_unknown_sandbox_is_404(client: FlaskClient, method: str) -> None:
    """With a code that tells it from an unknown route."""
    response = client.open("/sandboxes/a1", method=method)

    assert response.status_code == 404
    assert response.json["code"] == "sandbox_not_found"
    assert response.json["title"] == "Sandbox not found"
    assert response.json["message"] == "Sandbox a1 not found"


def test_a_trailing_slash_is_no_other_address(client: FlaskClient) -> None:
    """werkzeug would answer a redirect with an HTML body, or nothing at all."""
    assert client.post("/sandboxes/").status_code == 201
    assert client.get("/sandboxes/").status_code == 200


def test_answers_are_not_cached(client: FlaskClient) -> None:
    """An id is a capability: it must not stay in a cache on the way."""
    response = client.post("/sandboxes")

    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_head_is_get_without_body(client: FlaskClient, sandboxes: FakeSandboxes) -> None:
    """RFC 9110, section 9.3.2: the same headers, for errors too."""
    sandboxes.kept["a1"] = FakeSandbox("a1")
    for path, status in (("/sandboxes/a1", 200), ("/sandboxes/b2", 404)):
        head, get = client.head(path), client.get(path)

        assert head.status_code == get.status_code == status
        assert head.data == b""
        assert head.content_type == get.content_type
        assert head.headers["Content-Length"] == str(len(get.data))


def test_options_says_what_is_allowed(client: FlaskClient) -> None:
    """And nothing else: Flask's own answer calls its empty body HTML."""
    response = client.options("/sandboxes")

    assert response.status_code == 204
    assert {*response.allow} == {"GET", "HEAD", "OPTIONS", "POST"}
    assert response.data == b""
    assert "Content-Type" not in response.headers
