"""Messages about the gateway itself, and its errors."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.models.base import Answer, left_out_when_none
from gateway.schemas.models.sandbox_history import Ended


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


class PostureCheck(Answer):
    """One thing that the isolation of sandboxes rests on."""

    ok: bool = Field(description="Whether it is shown to hold.", examples=[False])
    level: Literal["ok", "notice", "warning"] = Field(
        description="`notice`: it may hold, or matters little. `warning`: the host does not "
        "enforce it, or it is unknown.",
        examples=["warning"],
    )
    detail: str = Field(examples=["No AppArmor and no SELinux."])


class Problem(Answer):
    """Error over HTTP, `application/problem+json` (RFC 9457)."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra=left_out_when_none)

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
    checks: dict[str, Check] | None = Field(None, description="With `not_ready`, for operators.")
    posture: dict[str, PostureCheck] | None = Field(
        None, description="With `not_ready`, for operators."
    )
    ended: Ended | None = Field(
        None, description="With `sandbox_not_found`, for days: why the sandbox is no more."
    )
    instance: str | None = Field(
        None, description="Names this occurrence in the gateway's log. With 500, 502 and 503."
    )


class Health(Answer):
    """The process is up."""

    status: Literal["ok"] = Field(examples=["ok"])


class Readiness(Answer):
    """Everything that is needed works."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    status: Literal["ready"] = Field(examples=["ready"])
    checks: dict[str, Check] | None = Field(None, description="For operators only.")
    posture: dict[str, PostureCheck] | None = Field(
        None,
        description="What the host enforces of the isolation of sandboxes. What fails here does "
        "not make the gateway unready, unless `SANDBOX_REQUIRE` names it. For operators only.",
    )
