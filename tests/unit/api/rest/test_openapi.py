"""The document: complete, valid, and made from what the views record.

That real answers match it is asserted by the client of all tests here (`CheckedClient`).
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import errors
from gateway.api.rest.openapi.document import UndocumentedRoute, describe
from gateway.api.rest.openapi.operations import expanded
from gateway.errors import GatewayError
from gateway.schemas.route_documentation import Reply, documented

NEVER_OVER_HTTP = {*expanded([errors.SettingsError])}
ONLY_PARENTS = {errors.ClientFault, errors.HostFault}


def _operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.long
def test_it_is_valid_openapi_3_1(document: Any) -> None:
    """Generators of clients refuse what is not."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_it_has_every_route(document: Any) -> None:
    """By name, so that a route does not get lost in a refactoring."""
    assert {(path, method) for path, method, _ in _operations(document)} == {
        ("/sandboxes", "get"),
        ("/sandboxes", "post"),
        ("/sandboxes/{sandbox_id}", "get"),
        ("/sandboxes/{sandbox_id}", "patch"),
        ("/sandboxes/{sandbox_id}", "delete"),
        ("/sandboxes/{sandbox_id}/pause", "post"),
        ("/sandboxes/{sandbox_id}/resume", "post"),
        ("/sandboxes/{sandbox_id}/contexts", "post"),
        ("/sandboxes/{sandbox_id}/contexts", "get"),
        ("/sandboxes/{sandbox_id}/contexts/{context_id}", "delete"),
        ("/sandboxes/{sandbox_id}/contexts/{context_id}/execute", "post"),
        ("/sandboxes/{sandbox_id}/contexts/{context_id}/interrupt", "post"),
        ("/sandboxes/{sandbox_id}/contexts/{context_id}/restart", "post"),
        ("/sandboxes/{sandbox_id}/snapshots", "post"),
        ("/sandboxes/{sandbox_id}/fork", "post"),
        ("/sandboxes/{sandbox_id}/restore", "post"),
        ("/sandboxes/{sandbox_id}/changes", "get"),
        ("/snapshots", "get"),
        ("/snapshots/{snapshot_id}", "get"),
        ("/snapshots/{snapshot_id}", "delete"),
        ("/sandboxes/{sandbox_id}/stats", "get"),
        ("/sandboxes/{sandbox_id}/events", "get"),
        ("/events", "get"),
        ("/sandboxes/{sandbox_id}/commands", "get"),
        ("/sandboxes/{sandbox_id}/commands", "post"),
        ("/sandboxes/{sandbox_id}/commands/{request_id}", "get"),
        ("/sandboxes/{sandbox_id}/commands/{request_id}/output", "get"),
        ("/sandboxes/{sandbox_id}/commands/{request_id}/stdin", "post"),
        ("/sandboxes/{sandbox_id}/commands/{request_id}/signal", "post"),
        ("/sandboxes/{sandbox_id}/files", "get"),
        ("/sandboxes/{sandbox_id}/files", "put"),
        ("/sandboxes/{sandbox_id}/files", "post"),
        ("/sandboxes/{sandbox_id}/files", "delete"),
        ("/sandboxes/{sandbox_id}/files/stat", "get"),
        ("/sandboxes/{sandbox_id}/files/list", "get"),
        ("/sandboxes/{sandbox_id}/files/mkdir", "post"),
        ("/sandboxes/{sandbox_id}/files/move", "post"),
        ("/sandboxes/{sandbox_id}/files/copy", "post"),
        ("/sandboxes/{sandbox_id}/files/watch", "get"),
        ("/sandboxes/{sandbox_id}/archive", "get"),
        ("/sandboxes/{sandbox_id}/archive", "put"),
        ("/templates", "post"),
        ("/templates", "get"),
        ("/templates/{template}", "get"),
        ("/templates/{template}", "delete"),
        ("/sandboxes/{sandbox_id}/token", "post"),
        ("/sandboxes/{sandbox_id}/token", "delete"),
        ("/sandboxes/{sandbox_id}/ports", "get"),
        ("/sandboxes/{sandbox_id}/ports/{port}/", "get"),
        ("/sandboxes/{sandbox_id}/ports/{port}/token", "post"),
        ("/ws/{sandbox_id}", "get"),
        ("/ws/{sandbox_id}/terminal", "get"),
        ("/ws/{sandbox_id}/watch", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
        ("/openapi.json", "get"),
        ("/docs", "get"),
    }


def test_a_route_without_documentation_fails(app: Flask) -> None:
    """The document cannot fall behind the code."""
    app.add_url_rule("/forgotten", view_func=lambda: "")

    with pytest.raises(UndocumentedRoute, match="/forgotten"):
        describe(app)


def test_documentation_survives_decorators(app: Flask) -> None:
    """flask-sock and guards wrap views; `functools.wraps` carries the record."""

    @documented(summary="Wrapped", tag="Service", replies={200: Reply()})
    def view() -> str:
        return ""

    @functools.wraps(view)
    def wrapper() -> str:
        return view()

    app.add_url_rule("/wrapped", view_func=wrapper)

    paths = describe(app).paths or {}
    operation = paths["/wrapped"].get
    assert operation is not None
    assert operation.summary == "Wrapped"


def test_every_operation_explains_itself(document: Any) -> None:
    """A summary, a unique name, a known tag, and a description of each answer."""
    operations = [operation for _, _, operation in _operations(document)]
    tags = {tag["name"] for tag in document["tags"]}

    for operation in operations:
        assert operation["summary"]
        assert {*operation["tags"]} <= tags
        assert all(answer["description"] for answer in operation["responses"].values())
    names = [operation["operationId"] for operation in operations]
    assert len({*names}) == len(names)


def test_every_error_is_a_problem_with_listed_codes(document: Any) -> None:
    """Clients switch over `code`: the enum is what they can rely on."""
    for _, _, operation in _operations(document):
        assert "500" in operation["responses"]
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            [(media_type, content)] = answer["content"].items()
            assert media_type == "application/problem+json"
            codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
            assert {*codes} == {*content["examples"]}
            assert ("Retry-After" in answer["headers"]) == (status in ("429", "503"))


def test_every_error_of_the_gateway_appears(document: Any) -> None:
    """Whatever can reach a client is announced, in a problem or in a frame of a WebSocket."""
    announced: set[str] = set()
    for _, _, operation in _operations(document):
        announced |= {*operation.get("x-websocket-messages", {}).get("errorCodes", {})}
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                announced |= {*answer["content"]["application/problem+json"]["examples"]}

    # A wrong method is no operation, so OpenAPI has no place for its answer.
    reachable = {*expanded([GatewayError])} - NEVER_OVER_HTTP - ONLY_PARENTS
    reachable -= {errors.MethodNotAllowed}
    # What only E2B's protocol has is no address of this document's.
    reachable -= {errors.BadMetadata, errors.WatchNotFound}
    assert {kind.code for kind in reachable} - announced == set()


def test_examples_match_their_schemas(document: Any) -> None:
    """An example that is wrong is worse than none."""
    components = {"components": document["components"]}
    for _, _, operation in _operations(document):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                validator = Draft202012Validator({**content["schema"], **components})
                for example in content.get("examples", {}).values():
                    validator.validate(example["value"])
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            for example in field.get("examples", []):
                Draft202012Validator({**field, **components}).validate(example)
