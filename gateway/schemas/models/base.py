"""What all messages have in common."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

MOST_ERRORS = 20
"""Of one request. pydantic looks for all there are: 80,000 wrong names cost 0.9 s of a worker."""


class Answer(BaseModel):
    """What the gateway sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(BaseModel):
    """What a client sends. Unknown fields are refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown_fields(cls, given: object) -> object:
        """Of names that are no fields, as many as are reported."""
        if not isinstance(given, dict) or len(given) <= MOST_ERRORS:
            return given
        unknown = islice((name for name in given if name not in cls.model_fields), MOST_ERRORS)
        known = {name: given[name] for name in cls.model_fields if name in given}
        return known | {name: given[name] for name in unknown}


def _in_slices(given: object, validated: ValidatorFunctionWrapHandler) -> object:
    """The members of an object, a few at a time: it ends at the first few that are wrong."""
    if not isinstance(given, dict):
        return validated(given)
    found: dict[object, object] = validated({})
    for members in _sliced(given):
        found.update(validated(members))
    return found


def _sliced(given: dict[object, object]) -> Iterator[dict[object, object]]:
    members = iter(given.items())
    while few := dict(islice(members, MOST_ERRORS)):
        yield few


Sliced = WrapValidator(_in_slices)
"""For a field that is an object with any names. Limits on its size stand outside of it."""


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
