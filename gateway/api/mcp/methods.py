"""What clients may ask a server of this protocol, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp_types import (
    SERVER_INFO_META_KEY,
    CallToolRequestParams,
    DiscoverResult,
    EmptyResult,
    Implementation,
    InitializeResult,
    ListToolsResult,
    Result,
    ServerCapabilities,
    ToolsCapability,
)
from pydantic import ValidationError

from gateway import __version__
from gateway.api.mcp import protocol_eras
from gateway.api.mcp.rpc_errors import invalid_params, no_method
from gateway.api.mcp.toolbox import Toolbox

NAME = "sandbox-gateway"

INSTRUCTIONS = (
    "Throw-away Linux machines. create_sandbox first; use its sandbox_id in all other tools. "
    "Commands that take long go on by themselves: read_output reads on. Delete sandboxes that are "
    "done with."
)

KEPT_MS = 300_000
"""How long clients may keep the list of tools: it changes with a restart only."""

Params = Mapping[str, Any]


class Methods:
    """Answers requests. One per process."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._legacy: dict[str, Callable[[Params], Result]] = {
            "initialize": self._initialize,
            "ping": lambda _params: EmptyResult(),
            "tools/list": self._list,
            "tools/call": self._call,
        }
        self._modern: dict[str, Callable[[Params], Result]] = {
            "server/discover": self._discover,
            "tools/list": self._list,
            "tools/call": self._call,
        }

    def answer(self, method: str, params: Params, *, is_modern: bool) -> dict[str, Any]:
        """The result of a request. Raises RpcError."""
        found = (self._modern if is_modern else self._legacy).get(method)
        if found is None:
            raise no_method(method)
        result = found(params).model_dump(mode="json", by_alias=True, exclude_none=True)
        return _modern(result) if is_modern else _legacy(result)

    def _initialize(self, params: Params) -> Result:
        return InitializeResult(
            protocol_version=protocol_eras.negotiated(params.get("protocolVersion")),
            capabilities=_CAPABILITIES,
            server_info=_SERVER,
            instructions=INSTRUCTIONS,
        )

    def _discover(self, _params: Params) -> Result:
        return DiscoverResult(
            supported_versions=list(protocol_eras.VERSIONS),
            capabilities=_CAPABILITIES,
            instructions=INSTRUCTIONS,
            ttl_ms=KEPT_MS,
            cache_scope="public",
        )

    def _list(self, params: Params) -> Result:
        if params.get("cursor") is not None:
            raise invalid_params("there is one page only, and no cursor")
        return ListToolsResult(tools=self._toolbox.described, ttl_ms=KEPT_MS, cache_scope="public")

    def _call(self, params: Params) -> Result:
        try:
            asked = CallToolRequestParams.model_validate(params)
        except ValidationError:
            raise invalid_params("a call has a name and, as an object, arguments") from None
        if asked.name not in self._toolbox:
            raise invalid_params(
                f"unknown tool {asked.name[:64]!r}; there are {', '.join(self._toolbox.names)}"
            )
        return self._toolbox.call(asked.name, asked.arguments or {})


_SERVER = Implementation(name=NAME, title="Sandbox Gateway", version=__version__)
_CAPABILITIES = ServerCapabilities(tools=ToolsCapability())


def _modern(result: dict[str, Any]) -> dict[str, Any]:
    """With what every result says since 2026-07-28."""
    server = _SERVER.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"resultType": "complete", **result, "_meta": {SERVER_INFO_META_KEY: server}}


_SINCE_2026 = ("resultType", "ttlMs", "cacheScope")


def _legacy(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in _SINCE_2026}
