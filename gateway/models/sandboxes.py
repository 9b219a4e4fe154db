"""Messages about sandboxes."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.models.base import Answer, Request, left_out_when_none
from gateway.models.tokens import EXAMPLE

SANDBOX_ID_PATTERN = "^[a-z0-9]{1,64}$"

SandboxStatus = Literal["starting", "idle", "connected", "paused"]


class SandboxCreate(Request):
    """Body of `POST /sandboxes`. It may be empty."""


class SandboxCreated(Answer):
    """A new sandbox, ready to be used."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=left_out_when_none)

    sandbox_id: str = Field(
        description="Random, 128 bits, only `[a-z0-9]`. Whoever knows it may use the sandbox.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )
    status: Literal["created"] = Field(examples=["created"])
    message: str = Field(
        description="Localised by `Accept-Language`: English, Italian or Chinese.",
        examples=["Sandbox container created successfully"],
    )
    access_token: str | None = Field(
        None,
        description="Opens this sandbox and nothing else. Only where API keys are configured.",
        examples=[EXAMPLE],
    )


class Sandbox(Answer):
    """A sandbox as it is now."""

    sandbox_id: str = Field(examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"])
    status: SandboxStatus = Field(
        description="`idle`: no client connected and nothing running. `connected`: at least one "
        "WebSocket client, or a command that outlived its client. `starting`: being created.",
        examples=["idle"],
    )
    created_at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    ip_address: str | None = Field(
        description="Address in the sandbox's network; null without one.", examples=["172.18.0.2"]
    )


class Deleted(Answer):
    """Answer of `DELETE /sandboxes/{sandbox_id}`."""

    message: str = Field(examples=["Sandbox 5f0c6d0f6b0e4f6e9a1d2c3b4a596877 deleted successfully"])
