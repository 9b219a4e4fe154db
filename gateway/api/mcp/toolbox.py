"""All tools that a gateway offers, and what happens when one is called."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from flask import g
from mcp_types import CallToolResult, ContentBlock, TextContent
from mcp_types import Tool as Description
from pydantic import ValidationError

from gateway.api.mcp import failures
from gateway.api.mcp.backend import Defaults, Services
from gateway.api.mcp.command_tools import CommandTools
from gateway.api.mcp.failures import ToolFailed
from gateway.api.mcp.file_tools import FileTools
from gateway.api.mcp.places import Places
from gateway.api.mcp.sandbox_tools import SandboxTools
from gateway.api.mcp.snapshot_tools import SnapshotTools
from gateway.api.mcp.tool import Tool
from gateway.errors import GatewayError
from gateway.middleware import audit, problem_documents

_LONGEST_ID = 256


def tools_of(services: Services, defaults: Defaults) -> list[Tool]:
    """Every tool, in the order in which they are shown."""
    places = Places(services)
    sandboxes = SandboxTools(services, places, defaults)
    return [
        *sandboxes.tools(),
        *CommandTools(services, places, defaults).tools(),
        *FileTools(services, places, defaults).tools(),
        sandboxes.port_tool(),
        *SnapshotTools(services, places).tools(),
    ]


class Toolbox:
    """The tools that an operator allows, by name."""

    def __init__(self, tools: Collection[Tool], allowed: Collection[str]) -> None:
        self._tools = {tool.name: tool for tool in tools if tool.name in allowed}
        self.described: list[Description] = [tool.described() for tool in self._tools.values()]

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> list[str]:
        return list(self._tools)

    def call(self, name: str, given: dict[str, Any]) -> CallToolResult:
        """What a tool says, or why it could not do it. What nobody has foreseen is raised."""
        tool = self._tools[name]
        before = g.pop("denied", None)  # of another call in the same request
        g.pop("entered", None)
        status, said = 200, dict[str, Any]()
        try:
            answer = tool.run(_checked(tool, given))
            said = dict(answer.said)
            return _result(said, answer.picture)
        except ToolFailed as failure:
            status = failure.status
            return _failed(failure)
        except GatewayError as error:
            status = problem_documents.status_of(type(error))
            if status == 500:
                raise
            return _failed(failures.told(error))
        finally:
            if "denied" not in g:
                if tool.audit is not None:
                    _note(tool, given | said, status)
                if before is not None:
                    g.denied = before


def _checked(tool: Tool, given: dict[str, Any]) -> Any:
    try:
        return tool.arguments.model_validate(given)
    except ValidationError as refusal:
        raise failures.wrong_arguments(
            tool.name, list(tool.arguments.model_fields), refusal
        ) from None


def _result(said: dict[str, Any], picture: ContentBlock | None) -> CallToolResult:
    content: list[ContentBlock] = [TextContent(text=orjson.dumps(said).decode())]
    if picture is not None:
        content.append(picture)
    return CallToolResult(content=content, structured_content=said)


def _failed(failure: ToolFailed) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=str(failure))], is_error=True)


def _note(tool: Tool, values: dict[str, Any], status: int) -> None:
    """Into the audit log, as the same thing over REST."""
    request_id = values.get("request_id")
    audit.audit_context().note(
        tool.audit or "",
        tool=tool.name,
        status=status,
        sandbox_id=g.get("entered") or (values.get("sandbox_id") if status == 200 else None),
        request_id=request_id[:_LONGEST_ID] if isinstance(request_id, str) else None,
    )
