"""What a tool is, and how it is described to clients: once to each model that may call it, in every
conversation. So schemas say no more than a model needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_types import ImageContent, ToolAnnotations
from mcp_types import Tool as Description

from gateway.api.mcp.arguments import Arguments


@dataclass(frozen=True)
class Answer:
    """What a tool has to say: `said` fits the tool's schema. A picture is besides that."""

    said: Mapping[str, Any]
    picture: ImageContent | None = None


@dataclass(frozen=True)
class Tool:
    """One tool. `run` gets its arguments, checked, and raises GatewayError or ToolFailed.

    `result` has the fields of its answers with their JSON schemas; those in `optional` may be
    missing. `audit` is what the audit log calls it; tools that only read have none.
    """

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Any], Answer]
    result: Mapping[str, Any]
    optional: frozenset[str] = field(default_factory=frozenset)
    audit: str | None = None
    destroys: bool = False

    def described(self) -> Description:
        """As `tools/list` shows it."""
        output: dict[str, Any] = {"type": "object", "properties": dict(self.result)}
        required = [name for name in self.result if name not in self.optional]
        if required:
            output["required"] = required
        return Description(
            name=self.name,
            description=self.description,
            input_schema=compact(self.arguments.model_json_schema()),
            output_schema=output,
            annotations=ToolAnnotations(
                read_only_hint=True if self.audit is None else None,
                destructive_hint=None if self.audit is None or self.destroys else False,
            ),
        )


TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
YES_OR_NO = {"type": "boolean"}
NUMBER_OR_NULL = {"type": ["integer", "null"]}
STATUS = {"enum": ["running", "finished"]}
GAP = {"type": "object"}


def compact(schema: Any) -> Any:
    """A schema of pydantic's without what a model does not need: titles, bounds, null for what may
    be left out, and that nothing else is allowed."""
    if isinstance(schema, list):
        return [compact(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        real = [one for one in schema["anyOf"] if one != {"type": "null"}]
        schema = {**{k: v for k, v in schema.items() if k != "anyOf"}, **real[0]}
    kept = {}
    for name, value in schema.items():
        if name == "properties":
            kept[name] = {key: compact(one) for key, one in value.items()}
        elif name not in _LEFT_OUT and not (name == "default" and value in (None, "", False)):
            kept[name] = compact(value)
    return kept


_LEFT_OUT = frozenset(
    (
        *("title", "additionalProperties", "pattern", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    )
)
