"""What all messages have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """What the gateway sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(BaseModel):
    """What a client sends. Unknown fields are refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_defaults(schema: dict[str, Any]) -> None:
    """For `json_schema_extra` of a request whose fields mean nothing where they are not named."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


def left_out_when_none(schema: dict[str, Any]) -> None:
    """For `json_schema_extra` of an answer whose fields are not sent at all where they are None."""
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]
            kinds = field.pop("anyOf")
            [kind] = [kind for kind in kinds if kind != {"type": "null"}]
            field.update(kind)
