"""What a view says about itself for the API's document.

`gateway.api.rest.openapi.document` reads the records.

Outermost but for the route:

    @blueprint.post("/sandboxes")
    @documented(summary="Create a sandbox", tag="Sandboxes", replies={201: Reply(SandboxCreated)})
    def create() -> Response: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.errors import GatewayError

View = TypeVar("View", bound=Callable[..., Any])

_RECORD = "_gateway_documentation"


@dataclass(frozen=True)
class Reply:
    """An answer that is no error.

    `body` is a type that pydantic can describe, or None where the answer has no JSON;
    `media_type` is None where it has no body at all. `headers` are names with descriptions, of the
    answer in `media_type`. With `events`, a client that asks for it gets a `text/event-stream` of
    these messages instead; `event_fields` says what the other fields of each event are.
    """

    body: Any = None
    description: str = ""
    media_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    events: tuple[type[BaseModel], ...] = ()
    event_fields: str = ""


@dataclass(frozen=True)
class Socket:
    """The text frames of a WebSocket, and the errors whose codes its error frames may carry.

    An error stands for its subclasses too.
    """

    from_client: tuple[type[BaseModel], ...]
    to_client: tuple[type[BaseModel], ...]
    errors: tuple[type[GatewayError], ...] = ()


@dataclass(frozen=True)
class Operation:
    """One route of the API. `errors` are answered as problem documents, subclasses included.

    `upload` is the type of a body that is passed on as it comes, of any size, and no JSON.

    The fields of `query` are what the query may have. `headers` are those of the request, names
    with descriptions.

    The errors that any route may answer need not be said: BadRequest, ForeignHost, ForeignOrigin,
    AddressNotFound for paths with parameters, and the internal error.
    """

    summary: str
    tag: str
    replies: Mapping[int, Reply]
    description: str = ""
    errors: tuple[type[GatewayError], ...] = ()
    body: type[BaseModel] | None = None
    socket: Socket | None = None
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: str | None = None


@dataclass(frozen=True)
class NotPartOfTheApi:
    """A route that clients need not know, and why."""

    reason: str


def documented(
    *,
    summary: str,
    tag: str,
    replies: Mapping[int, Reply],
    description: str = "",
    errors: tuple[type[GatewayError], ...] = (),
    body: type[BaseModel] | None = None,
    socket: Socket | None = None,
    query: type[BaseModel] | None = None,
    headers: Mapping[str, str] | None = None,
    upload: str | None = None,
) -> Callable[[View], View]:
    """Record an `Operation` on a view. Decorators outside must use `functools.wraps`."""
    return _recorder(
        Operation(
            summary,
            tag,
            replies,
            description,
            errors,
            body,
            socket,
            query,
            dict(headers or {}),
            upload,
        )
    )


def not_part_of_the_api(reason: str) -> Callable[[View], View]:
    """Record that a view is left out of the document on purpose."""
    return _recorder(NotPartOfTheApi(reason))


def documentation(view: Callable[..., Any]) -> Operation | NotPartOfTheApi | None:
    """What was recorded on `view`, if anything."""
    record: Operation | NotPartOfTheApi | None = getattr(view, _RECORD, None)
    return record


def _recorder(record: Operation | NotPartOfTheApi) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        setattr(view, _RECORD, record)
        return view

    return decorate
