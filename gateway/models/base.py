"""What all messages have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What the gateway sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(BaseModel):
    """What a client sends. Unknown fields are refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)
