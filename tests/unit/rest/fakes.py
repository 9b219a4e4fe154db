"""The services behind the edge, in memory, and a client that holds answers against the document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from gateway.errors import SandboxNotFound, StoreUnavailable
from gateway.models import Check, SandboxStatus
from gateway.rest import openapi, request_ids


@dataclass(frozen=True)
class FakeSandbox:
    sandbox_id: str
    status: SandboxStatus = "idle"
    created_at: float = 1648371234.567
    ip_address: str | None = "172.17.0.2"


@dataclass(frozen=True)
class FakeLease:
    sandbox_id: str
    container_id: str


class FakeSandboxes:
    """Keeps sandboxes in a dict, notes which ids it was asked for, fails when told to.

    `leases` are those that somebody holds, `ended` why sandboxes are no more.
    """

    def __init__(self) -> None:
        self.kept: dict[str, FakeSandbox] = {}
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.leases: list[FakeLease] = []
        self.ended: dict[str, str] = {}
        self.cannot_release = False

    def lease(self, sandbox_id: str) -> FakeLease:
        self.get(sandbox_id)
        self.leases.append(FakeLease(sandbox_id, f"container-of-{sandbox_id}"))
        return self.leases[-1]

    def release(self, lease: FakeLease) -> None:
        if self.cannot_release:
            raise StoreUnavailable("locked")
        self.leases.remove(lease)

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        return {name: reason for name, reason in self.ended.items() if name in sandbox_ids}

    def create(self) -> FakeSandbox:
        self._fail()
        sandbox = FakeSandbox(f"{len(self.kept) + 1:032x}")
        self.kept[sandbox.sandbox_id] = sandbox
        return sandbox

    def get(self, sandbox_id: str) -> FakeSandbox:
        self.asked.append(sandbox_id)
        self._fail()
        if sandbox_id not in self.kept:
            raise SandboxNotFound(sandbox_id)
        return self.kept[sandbox_id]

    def list(self) -> list[FakeSandbox]:
        self._fail()
        return [*self.kept.values()]

    def delete(self, sandbox_id: str) -> None:
        self.get(sandbox_id)
        del self.kept[sandbox_id]

    def _fail(self) -> None:
        if self.failure:
            raise self.failure


class FakeReadiness:
    """Everything works until a test says otherwise."""

    def __init__(self) -> None:
        self.found = {name: Check(ok=True, detail="works") for name in ("engine", "image", "store")}

    def checks(self) -> dict[str, Check]:
        return self.found


@dataclass(frozen=True)
class FakeToken:
    text: str = "sgt_token"
    expires_at: float = 1648457634.0


class FakeTokens:
    """Issues the same token for each sandbox but `gone`."""

    def issue(self, sandbox_id: str) -> FakeToken:
        if sandbox_id == "gone":
            raise SandboxNotFound(sandbox_id)
        return FakeToken()

    def revoke(self, sandbox_id: str) -> None:
        self.issue(sandbox_id)


_documents: dict[frozenset[str], Any] = {}


def _document_of(app: Flask) -> Any:
    """Made once for all applications with the same routes: it takes a tenth of a second."""
    routes = frozenset(repr(rule) for rule in app.url_map.iter_rules())
    if routes not in _documents:
        described = openapi.describe(app).model_dump_json(by_alias=True, exclude_unset=True)
        _documents[routes] = json.loads(described)
    return _documents[routes]


class CheckedClient(FlaskClient):
    """Asserts of each answer that `/openapi.json` announces it: status, type, schema, headers."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        # As a server does: read to the end and closed, unless a test wants to see it come.
        response = super().open(*args, **{"buffered": True} | kwargs)
        if response.request.method not in ("HEAD", "OPTIONS"):
            self._hold_against_document(response)
        return response

    def _hold_against_document(self, response: TestResponse) -> None:
        document = _document_of(self.application)
        answer = self._announced(document, response)
        if answer is None:
            assert response.mimetype == "application/problem+json"
            schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
        elif response.status_code == 204:
            assert "content" not in answer
            assert "Content-Type" not in response.headers
            return
        else:
            schema = answer["content"][response.content_type]["schema"]
            if response.content_type != "text/event-stream":
                assert {*answer.get("headers", {})} <= {*response.headers.keys()}
        if "json" in response.mimetype:
            validator = Draft202012Validator({**schema, "components": document["components"]})
            validator.validate(json.loads(response.data))

    def _announced(self, document: Any, response: TestResponse) -> Any:
        asked = response.request
        adapter = self.application.url_map.bind("localhost")
        try:
            path = request_ids.with_encoded_id(asked.environ)
            rule, _ = adapter.match(path, asked.method, return_rule=True)
        except HTTPException:
            return None
        if rule.endpoint == "docs.asset":
            return (
                None
                if response.status_code >= 400
                else {"content": {response.content_type: {"schema": {}}}}
            )
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        return document["paths"][path][asked.method.lower()]["responses"][str(response.status_code)]
