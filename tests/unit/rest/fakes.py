"""The services behind the edge, in memory, and a client that holds answers against the document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from flask_sock import Sock
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from gateway.apidoc import Reply, Socket, documented
from gateway.errors import (
    BadFields,
    BadRequest,
    HostFault,
    RequestIdInUse,
    SandboxFault,
    SandboxNotFound,
    TooManyCommands,
    UpgradeRequired,
)
from gateway.models import (
    Check,
    CommandRequest,
    CommandResult,
    SandboxEnded,
    SandboxStatus,
    SocketError,
)
from gateway.rest import openapi


@dataclass(frozen=True)
class FakeSandbox:
    sandbox_id: str
    status: SandboxStatus = "idle"
    created_at: float = 1648371234.567
    ip_address: str | None = "172.17.0.2"


class FakeSandboxes:
    """Keeps sandboxes in a dict, notes which ids it was asked for, fails when told to."""

    def __init__(self) -> None:
        self.kept: dict[str, FakeSandbox] = {}
        self.asked: list[str] = []
        self.failure: Exception | None = None

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


def add_socket(app: Flask) -> None:
    """A WebSocket route that documents itself as the real one does."""

    @Sock(app).route("/ws/<sandbox_id>")
    @documented(
        summary="Run commands",
        tag="Commands",
        replies={101: Reply(description="The WebSocket is open.", media_type=None)},
        errors=(SandboxNotFound, UpgradeRequired),
        socket=Socket(
            from_client=(CommandRequest,),
            to_client=(CommandResult, SocketError, SandboxEnded),
            errors=(
                BadRequest,
                BadFields,
                RequestIdInUse,
                TooManyCommands,
                HostFault,
                SandboxFault,
            ),
        ),
    )
    def commands(socket: Any, sandbox_id: str) -> None:
        raise AssertionError("no test opens it")


class CheckedClient(FlaskClient):
    """Asserts of each answer that `/openapi.json` announces it: status, type, schema, headers."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        if response.request.method not in ("HEAD", "OPTIONS"):
            self._hold_against_document(response)
        return response

    def _hold_against_document(self, response: TestResponse) -> None:
        document = json.loads(
            openapi.describe(self.application).model_dump_json(by_alias=True, exclude_unset=True)
        )
        answer = self._announced(document, response)
        if answer is None:
            assert response.mimetype == "application/problem+json"
            schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
        else:
            [(media_type, content)] = answer["content"].items()
            assert response.content_type == media_type
            assert {*answer.get("headers", {})} <= {*response.headers.keys()}
            schema = content["schema"]
        if "json" in response.mimetype:
            validator = Draft202012Validator({**schema, "components": document["components"]})
            validator.validate(json.loads(response.data))

    def _announced(self, document: Any, response: TestResponse) -> Any:
        asked = response.request
        adapter = self.application.url_map.bind("localhost")
        try:
            rule, _ = adapter.match(asked.path, asked.method, return_rule=True)
        except HTTPException:
            return None
        if rule.endpoint == "docs.asset":
            return (
                None
                if response.status_code >= 400
                else {"content": {response.content_type: {"schema": {}}}}
            )
        path = re.sub(r"<([^>]+)>", r"{\1}", rule.rule)
        return document["paths"][path][asked.method.lower()]["responses"][str(response.status_code)]
