"""Ids that cannot be ids: a problem document, and nothing behind the edge hears of them."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.unit.api.rest.fakes import FakeSandboxes

IMPOSSIBLE = [
    "..",
    "%2e%2e",
    "..%5c..%5cetc",
    "a1%00",
    "%00",
    "a1%0a",
    "a1%0d%0aSet-Cookie:%20x=y",
    "A1",
    "沙箱",
    "%ff%fe",
    "a1%20",
    "a1;b2",
    "*",
    "a" * 65,
    "a" * 10_000,
    "%f0%9f%92%a9" * 100,
    "%1b[31m",
    "<script>alert(1)</script>".replace("/", "%5c"),
]


@pytest.mark.parametrize("sandbox_id", IMPOSSIBLE)
@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_an_impossible_id_is_an_unknown_sandbox(
    client: FlaskClient, sandboxes: FakeSandboxes, method: str, sandbox_id: str
) -> None:
    """The docker SDK would put it into an address of the engine's API unescaped."""
    response = client.open(f"/sandboxes/{sandbox_id}", method=method)

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert len(response.data) < 1000
    assert sandboxes.asked == []
    if method != "HEAD":
        assert response.json["code"] == "sandbox_not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/sandboxes/..%2fnetworks%2fbridge",
        "/sandboxes/../networks/bridge",
        "/sandboxes/a1%2f",
        "/sandboxes/a1%2f%2f",
        "/sandboxes//a1",
        "//sandboxes",
        "/sandboxes/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/ws/a1/b2",
    ],
)
def test_slashes_lead_nowhere(client: FlaskClient, sandboxes: FakeSandboxes, path: str) -> None:
    """Never a redirect, whose body would be HTML, and never half of the path as an id."""
    response = client.get(path)

    assert response.status_code == 404
    assert response.json["code"] in ("not_found", "sandbox_not_found")
    assert [asked for asked in sandboxes.asked if asked != "a1"] == []


def test_a_long_id_comes_back_shortened(client: FlaskClient) -> None:
    """Answers do not grow with what callers send."""
    response = client.get("/sandboxes/" + "x" * 9_000)

    assert response.json["message"] == f"Sandbox {'x' * 64} not found"
