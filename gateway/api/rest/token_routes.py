"""Routes of the noun *token*: what lets somebody into one sandbox, and nothing else."""

from __future__ import annotations

from typing import Protocol

from flask import Blueprint, Response

from gateway.api.asking.json_bodies import read_json
from gateway.api.rest import answers
from gateway.errors import (
    BadFields,
    BadMediaType,
    BodyTimeout,
    BodyTooLarge,
    SandboxNotFound,
    StoreUnavailable,
    TokenNotEnough,
)
from gateway.schemas.models import TokenIssued, TokenRequest
from gateway.schemas.route_documentation import Reply, documented


class NewToken(Protocol):
    """A token just made."""

    @property
    def text(self) -> str: ...

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""


class Tokens(Protocol):
    """Issues and revokes access tokens. Both raise SandboxNotFound and StoreUnavailable."""

    def issue(self, sandbox_id: str) -> NewToken:
        """Another one; those that are out stay valid."""

    def revoke(self, sandbox_id: str) -> None:
        """End all of the sandbox's."""


def blueprint(tokens: Tokens) -> Blueprint:
    """The route `/sandboxes/{sandbox_id}/token`, over `tokens`."""
    routes = Blueprint("tokens", __name__, url_prefix="/sandboxes/<sandbox_id>/token")

    @routes.post("")
    @documented(
        summary="Issue an access token",
        description="For this sandbox only, to be handed to somebody who has no API key: a "
        "browser, for example. Earlier ones stay valid. The body may be empty.",
        tag="Tokens",
        body=TokenRequest,
        replies={201: Reply(TokenIssued, "The only time that it is shown.")},
        errors=(
            *(BodyTimeout, BodyTooLarge, BadMediaType, BadFields),
            *(SandboxNotFound, TokenNotEnough, StoreUnavailable),
        ),
    )
    def issue(sandbox_id: str) -> Response:
        read_json(TokenRequest)
        token = tokens.issue(sandbox_id)
        return answers.one(TokenIssued(access_token=token.text, expires_at=token.expires_at), 201)

    @routes.delete("")
    @documented(
        summary="Revoke all access tokens",
        description="Of this sandbox. WebSockets that were opened with one are closed with 1008 "
        "within seconds.",
        tag="Tokens",
        replies={204: Reply(description="None is valid any more.", media_type=None)},
        errors=(SandboxNotFound, TokenNotEnough, StoreUnavailable),
    )
    def revoke(sandbox_id: str) -> Response:
        tokens.revoke(sandbox_id)
        return answers.nothing()

    return routes
