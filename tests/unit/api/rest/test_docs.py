"""`/docs`: a page that needs nothing from outside."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient


def test_the_page_refers_only_to_files_that_are_there(client: FlaskClient) -> None:
    """It must work on a machine without internet."""
    page = client.get("/docs")

    assert page.status_code == 200
    assert page.mimetype == "text/html"
    addresses = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    assert len(addresses) >= 5
    for address in addresses:
        assert address.startswith("/"), "no other host"
        response = client.get(address)
        assert response.status_code == 200
        assert response.data
        response.close()


def test_the_page_allows_only_itself(client: FlaskClient) -> None:
    """A strict policy needs a page without inline scripts and styles."""
    page = client.get("/docs")

    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "<style" not in page.text
    assert "style=" not in page.text
    assert re.findall(r"<script(?![^>]*\ssrc=)", page.text) == []


def test_assets_have_their_types_and_may_be_cached(client: FlaskClient) -> None:
    """nosniff makes browsers refuse scripts of a wrong type."""
    for name, mimetype in (
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("swagger.svg", "image/svg+xml"),
    ):
        response = client.get(f"/docs/assets/{name}")
        assert response.mimetype == mimetype
        assert response.cache_control.max_age
        response.close()


@pytest.mark.parametrize(
    "name", ["..%2f__init__.py", "__init__.py", "templates", ".", "swagger-ui-bundle.js%00"]
)
def test_no_other_files_are_served(client: FlaskClient, name: str) -> None:
    """The assets are a list, not a directory."""
    response = client.get(f"/docs/assets/{name}")

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"


def test_swagger_ui_knows_openapi_3_1(client: FlaskClient) -> None:
    """Versions before 5 refuse the document."""
    response = client.get("/docs/assets/swagger-ui-bundle.js")
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', response.text)
    response.close()

    assert version
    assert int(version[1]) >= 5
