"""Messages about access tokens."""

from __future__ import annotations

from pydantic import Field

from gateway.schemas.models.base import Answer, Request

EXAMPLE = "sgt_WyI1ZjBjNmQwZiIsImE3YzMiLDE3OTU0NDg2NTVd.x1Yb3kVnTg"


class TokenRequest(Request):
    """Body of `POST /sandboxes/{sandbox_id}/token`. It may be empty."""


class TokenIssued(Answer):
    """A new access token."""

    access_token: str = Field(
        description="Goes into `Authorization: Bearer …` or, on WebSockets, into the subprotocol "
        "`bearer.…`.",
        examples=[EXAMPLE],
    )
    expires_at: float = Field(description="Seconds since the epoch.", examples=[1648457634.0])
