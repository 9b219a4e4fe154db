"""Calls of the gateway's tools, as clients of the Model Context Protocol write them."""

from __future__ import annotations

import json
from typing import Any, Protocol

NEWEST = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Posting(Protocol):
    def post(self, path: str, **arguments: Any) -> Any: ...


def message(method: str, **params: Any) -> dict[str, Any]:
    """A request, without what is said of it since 2026-07-28."""
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def modern(method: str, **params: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a request of 2026-07-28."""
    headers = {"MCP-Protocol-Version": NEWEST, "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return message(method, **params, _meta=META), headers


def call(gateway: Posting, name: str, **arguments: Any) -> dict[str, Any]:
    """The result of a call, which may be a failure."""
    body, headers = modern("tools/call", name=name, arguments=arguments)
    answer = gateway.post("/mcp", json=body, headers=headers, timeout=90)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


def said(gateway: Posting, name: str, **arguments: Any) -> dict[str, Any]:
    """What a tool says: the same in structure and text."""
    result = call(gateway, name, **arguments)
    assert not result["isError"], result
    structure: dict[str, Any] = result["structuredContent"]
    assert json.loads(result["content"][0]["text"]) == structure
    return structure


def refused(gateway: Posting, name: str, **arguments: Any) -> str:
    """Why a tool could not do it."""
    result = call(gateway, name, **arguments)
    assert result["isError"] is True, result
    assert "structuredContent" not in result
    text: str = result["content"][0]["text"]
    return text
