"""One typed model per message that clients send or get.

They validate what comes in, write what goes out, and make `/openapi.json`: a field that is not
here does not exist. The examples are what the documentation shows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SANDBOX_ID_PATTERN = "^[a-z0-9]{1,64}$"

SandboxStatus = Literal["starting", "idle", "connected", "paused"]


class Answer(BaseModel):
    """What the gateway sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(BaseModel):
    """What a client sends. Unknown fields are refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- sandboxes ---------------------------------------------------------------------------------


class SandboxCreate(Request):
    """Body of `POST /sandboxes`. It may be empty."""


class SandboxCreated(Answer):
    """A new sandbox, ready to be used."""

    sandbox_id: str = Field(
        description="Random, 128 bits, only `[a-z0-9]`. Whoever knows it may use the sandbox.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )
    status: Literal["created"] = Field(examples=["created"])
    message: str = Field(
        description="Localised by `Accept-Language`: English, Italian or Chinese.",
        examples=["Sandbox container created successfully"],
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


# --- commands over the WebSocket ---------------------------------------------------------------

RequestId = Annotated[str, StringConstraints(max_length=256)]


class CommandRequest(Request):
    """Text frame from a client on `/ws/{sandbox_id}`: run a command."""

    command: Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")] = Field(
        description="Run by the sandbox's shell, `/bin/bash -c` or else `/bin/sh -c`, each in a "
        "fresh shell, in the user's home directory.",
        examples=["ls -la"],
    )
    request_id: RequestId | None = Field(
        None,
        description="Comes back with the answer. A UUID4 is generated when it is missing.",
        examples=["optional-unique-id"],
    )


class Truncated(Answer):
    """True sizes of outputs of which only head and tail were kept."""

    output_bytes: int = Field(ge=0, examples=[1073741824])
    error_bytes: int = Field(ge=0, examples=[0])


class CommandResult(Answer):
    """Text frame to the client: one per command, in the order in which commands finish."""

    request_id: str = Field(examples=["optional-unique-id"])
    command: str = Field(examples=["ls -la"])
    success: bool = Field(description="`returncode == 0`.", examples=[True])
    output: str = Field(
        description="Standard output. Bytes that are not UTF-8 become U+FFFD.",
        examples=["total 0\n"],
    )
    error: str = Field(
        description="Standard error or, when the command could not be run, why.", examples=[""]
    )
    returncode: int = Field(
        description="As shells report it: 127 not found, 126 not executable, 128+n killed by "
        "signal n.",
        examples=[0],
    )
    timestamp: str = Field(
        description="When the command finished: local time, ISO 8601, milliseconds.",
        examples=["2023-03-27T12:34:56.789"],
    )
    truncated: Truncated | None = Field(
        None, description="Only there when output or error was longer than its cap."
    )


class SocketError(Answer):
    """Text frame to the client: a request on this connection could not be served."""

    type: Literal["error"] = Field(examples=["error"])
    code: str = Field(
        description="Stable and machine-readable, the same codes as in problem documents.",
        examples=["bad_request"],
    )
    message: str = Field(description="Localised.", examples=["The request is not valid"])
    detail: str = Field("", description="English, for debugging.")
    request_id: str | None = Field(
        None, description="Which request, where it could be read.", examples=["r1"]
    )


class SandboxEnded(Answer):
    """Last text frame to the client, then the connection is closed with 1001."""

    type: Literal["ended"] = Field(examples=["ended"])
    reason: str = Field(
        description="`deleted`, `idle` or `exited`.",
        examples=["deleted"],
    )


# --- service -----------------------------------------------------------------------------------


class FieldError(Answer):
    """One refused value."""

    loc: list[str | int] = Field(
        description="Path to the value in the body.", examples=[["unknown_field"]]
    )
    msg: str = Field(description="English.", examples=["Extra inputs are not permitted"])
    type: str = Field(description="Machine-readable.", examples=["extra_forbidden"])


class Check(Answer):
    """One thing that must work before sandboxes can be served."""

    ok: bool = Field(examples=[True])
    detail: str = Field(examples=["Docker Engine 20.10.24"])


class Problem(Answer):
    """Error over HTTP, `application/problem+json` (RFC 9457)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(
        description="`urn:sandbox-gateway:problem:` and the code.",
        examples=["urn:sandbox-gateway:problem:sandbox_not_found"],
    )
    title: str = Field(description="English, the same for every occurrence.")
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(description="English, about this occurrence.")
    code: str = Field(description="Stable and machine-readable.", examples=["sandbox_not_found"])
    message: str = Field(description="Localised by `Accept-Language`.")
    errors: list[FieldError] | None = Field(None, description="With `invalid_fields`.")
    checks: dict[str, Check] | None = Field(None, description="With `not_ready`.")
    instance: str | None = Field(
        None, description="Names this occurrence in the gateway's log. With 500 and 503."
    )


class Health(Answer):
    """The process is up."""

    status: Literal["ok"] = Field(examples=["ok"])


class Readiness(Answer):
    """Everything that is needed works."""

    status: Literal["ready"] = Field(examples=["ready"])
    checks: dict[str, Check]
