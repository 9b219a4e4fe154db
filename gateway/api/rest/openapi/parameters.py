"""The parameters of one documented view, for the API's document: path, query, headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openapi_pydantic import Parameter, Reference
from pydantic import BaseModel

from gateway.schemas import route_documentation
from gateway.schemas.models import ID_OR_NAME_PATTERN, NAME_PATTERN
from gateway.schemas.models.base import left_out_when_none

ACCEPT_LANGUAGE = Parameter.model_validate(
    {
        "name": "Accept-Language",
        "in": "header",
        "description": "Language of `message`: English, Italian (`it`) or Chinese (`zh`).",
        "schema": {"type": "string"},
        "examples": {
            "English": {"value": "en"},
            "Italian": {"value": "it-IT, en;q=0.5"},
            "Chinese": {"value": "zh-CN, zh;q=0.9"},
        },
    }
)

_IN_PATH: dict[str, dict[str, Any]] = {
    "sandbox_id": {
        "description": "As `POST /sandboxes` returned it, or the name that it was given there.",
        "schema": {"type": "string", "pattern": ID_OR_NAME_PATTERN},
        "example": "5f0c6d0f6b0e4f6e9a1d2c3b4a596877",
    },
    "snapshot_id": {
        "description": "As the snapshot's making returned it, or the name that it was given there.",
        "schema": {"type": "string", "pattern": ID_OR_NAME_PATTERN},
        "example": "0c9a3e5b7d1f4c62a8e0b4d6f8123456",
    },
    "context_id": {
        "description": "`default`, or what the create has answered.",
        "schema": {"type": "string", "pattern": "^[0-9a-z]{1,64}$"},
        "example": "default",
    },
    "template": {
        "description": "The name that the template was given.",
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": "with-numpy",
    },
    "port": {
        "description": "A TCP port of the sandbox, from 1 to 65535.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 65535},
        "example": 8000,
    },
    "request_id": {
        "description": "That of the command, percent-encoded where it is not made of letters, "
        "digits, `-`, `_`, `~` and `.`: a slash is `%2F`. Of several commands with the same one "
        "it is the latest. (`.` and `..` cannot stand in an address, RFC 3986, section 5.2.4.)",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
        "example": "r1",
    },
}


def parameters(
    record: route_documentation.Operation, in_path: list[str]
) -> Iterator[Parameter | Reference]:
    """All that a request for `record` may carry besides its body."""
    for name in in_path:
        known = _IN_PATH.get(name, {"schema": {"type": "string"}})
        yield Parameter.model_validate({"name": name, "in": "path", "required": True, **known})
    if record.query:
        yield from _in_query(record.query)
    for name, description in record.headers.items():
        yield Parameter.model_validate(
            {
                "name": name,
                "in": "header",
                "description": description,
                "schema": {"type": "string"},
            }
        )
    yield Reference.model_validate({"$ref": "#/components/parameters/AcceptLanguage"})


def _in_query(model: type[BaseModel]) -> Iterator[Parameter]:
    described = model.model_json_schema()
    left_out_when_none(described)
    for name, schema in described["properties"].items():
        schema.pop("title", None)
        yield Parameter.model_validate(
            {
                "name": name,
                "in": "query",
                "required": name in described.get("required", ()),
                "description": schema.pop("description", ""),
                "schema": schema,
            }
        )
