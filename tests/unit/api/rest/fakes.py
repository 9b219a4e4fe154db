"""The services behind the edge, in memory, and a client that holds answers against the document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from gateway.api.rest import request_id_in_path
from gateway.api.rest.openapi.document import describe
from gateway.engine.interface import ContainerUsage
from gateway.errors import (
    SandboxNotFound,
    SnapshotNotFound,
    StoreUnavailable,
    TemplateNotFound,
    TooManyTemplates,
)
from gateway.sandboxes.create.creation import Created
from gateway.sandboxes.life.sandbox_view import SandboxView, view_of
from gateway.sandboxes.spec.owner_limits import EVERYBODY, Owner
from gateway.schemas.models import Check, PostureCheck, SandboxChange, SandboxCreate
from gateway.schemas.models.sandboxes import given
from gateway.store.events import EventRow
from tests.support.rows import row_of


def FakeSandbox(sandbox_id: str, **said: Any) -> SandboxView:
    """A sandbox by its id, and what a test says else."""
    return _USUAL.model_copy(update={"sandbox_id": sandbox_id, **said})


_USUAL = view_of(row_of(state="ready", created_at=1648371234.567, ip_address="172.17.0.2"))


@dataclass(frozen=True)
class FakeLease:
    sandbox_id: str
    container_id: str


class NoSnapshots:
    """There are none, and none can be taken."""

    def __init__(self) -> None:
        self.taking = self.keeping = self.forking = self.restoring = self
        self.comparing = self

    def take(self, sandbox_id: str, **_wanted: object) -> NoReturn:
        raise SandboxNotFound(sandbox_id)

    def get(self, word: str, *, owner: str) -> NoReturn:
        raise SnapshotNotFound()

    def list(self, *, after: str | None, **_which: object) -> tuple[list[Any], bool]:
        if after is not None:
            raise SnapshotNotFound()
        return [], False

    def delete(self, word: str, *, owner: str) -> NoReturn:
        raise SnapshotNotFound()

    def fork(self, sandbox_id: str, *_wanted: object, **_who: object) -> NoReturn:
        raise SandboxNotFound(sandbox_id)

    def restore(self, sandbox_id: str, _word: str, **_which: object) -> NoReturn:
        raise SandboxNotFound(sandbox_id)

    def changes(self, sandbox_id: str, _since: str | None, **_which: object) -> NoReturn:
        raise SandboxNotFound(sandbox_id)


class NoTemplates:
    """There are none, and none can be built."""

    def __init__(self) -> None:
        self.building = self.keeping = self

    def build(self, name: str, made_by: str) -> NoReturn:
        raise TooManyTemplates()

    def get(self, name: str) -> NoReturn:
        raise TemplateNotFound()

    def list(self) -> list[Any]:
        return []

    def delete(self, name: str) -> NoReturn:
        raise TemplateNotFound()


class FakeSandboxes:
    """Keeps sandboxes in a dict, notes which ids it was asked for, fails when told to.

    `leases` are those that somebody holds, `ended` why sandboxes are no more.
    """

    def __init__(self) -> None:
        self.kept: dict[str, SandboxView] = {}
        self.created: list[tuple[SandboxCreate, str | None]] = []
        self.by_key: dict[str, SandboxView] = {}
        self.owners: dict[str, str] = {}
        self.happened: list[EventRow] = []
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

    def restored_among(self, sandbox_ids: set[str]) -> dict[str, tuple[int, str]]:
        return {}

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        return {name: reason for name, reason in self.ended.items() if name in sandbox_ids}

    def create(
        self,
        request: SandboxCreate,
        *,
        owner: Owner = EVERYBODY,
        key: str | None = None,
        has_left: Callable[[], bool] = lambda: False,
    ) -> Created:
        self._fail()
        if key in self.by_key:
            return Created(self.by_key[key], is_replay=True)
        self.created.append((request, key))
        sandbox = FakeSandbox(f"{len(self.kept) + 1:032x}", labels=request.labels)
        self.kept[sandbox.sandbox_id] = sandbox
        self.owners[sandbox.sandbox_id] = owner.name
        if key is not None:
            self.by_key[key] = sandbox
        return Created(sandbox)

    def get(self, sandbox_id: str) -> SandboxView:
        self.asked.append(sandbox_id)
        self._fail()
        if sandbox_id not in self.kept:
            raise SandboxNotFound(sandbox_id)
        return self.kept[sandbox_id]

    def list(self, *, status=None, labels=None, limit=None, after=None, owner=None):
        self._fail()
        found = [
            one
            for one in self.kept.values()
            if status in (None, one.status)
            and (labels or {}).items() <= one.labels.items()
            and owner in (None, self.owners.get(one.sandbox_id))
        ]
        if after is not None:
            found = [one for one in found if one.sandbox_id > after]
        return found[:limit], limit is not None and len(found) > limit

    def change(self, sandbox_id: str, change: SandboxChange) -> SandboxView:
        self.kept[sandbox_id] = self.get(sandbox_id).model_copy(update=given(change))
        return self.kept[sandbox_id]

    def pause(self, sandbox_id: str) -> SandboxView:
        self.kept[sandbox_id] = self.get(sandbox_id).model_copy(update={"status": "paused"})
        return self.kept[sandbox_id]

    def resume(self, sandbox_id: str) -> SandboxView:
        self.kept[sandbox_id] = self.get(sandbox_id).model_copy(update={"status": "idle"})
        return self.kept[sandbox_id]

    def usage(self, sandbox_id: str) -> tuple[ContainerUsage, SandboxView]:
        return ContainerUsage(1.5, 25.0, 1024, 3, None, 10, 20), self.get(sandbox_id)

    # As `gateway.sandboxes.life.event_history.Lifecycle`.

    def since(
        self,
        number: int,
        *,
        sandbox_id: str | None = None,
        owner: str | None = None,
        limit: int,
    ) -> list[EventRow]:
        if sandbox_id is not None:
            self.get(sandbox_id)
        return [
            one
            for one in self.happened
            if one.number > number
            and sandbox_id in (None, one.sandbox_id)
            and owner in (None, self.owners.get(one.sandbox_id))
        ][:limit]

    def place_of(self, owner: str) -> AbstractContextManager[None]:
        return nullcontext()

    def last_number(self) -> int:
        return max((one.number for one in self.happened), default=0)

    def follow(
        self, number: int, *, sandbox_id: str | None = None, owner: str | None = None
    ) -> Iterator[list[EventRow]]:
        yield self.since(number, sandbox_id=sandbox_id, owner=owner, limit=1000)

    # As `gateway.api.ws.keep_alive.Sandboxes`.

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        return {}

    def resume_leased(self, sandbox_id: str) -> None:
        self.get(sandbox_id)

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
        self.posture = {"lsm": PostureCheck(ok=False, level="warning", detail="none")}

    def look(self) -> tuple[dict[str, Check], dict[str, PostureCheck]]:
        return self.found, self.posture


class FakeMetrics:
    """Has counted what a test says."""

    def __init__(self) -> None:
        self.said = b"# HELP things Things.\n# TYPE things gauge\nthings 1.0\n"

    def text(self) -> bytes:
        return self.said


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
        described = describe(app).model_dump_json(by_alias=True, exclude_unset=True)
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
            path = request_id_in_path.with_encoded_id(asked.environ)
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


class FakePorts:
    """Nothing listens."""

    def listening(self, container_id: str) -> list[Any]:
        return []

    @staticmethod
    def issue(sandbox_id: str, port: int, ttl_s: float) -> Any:
        return FakeTokens().issue(sandbox_id)
