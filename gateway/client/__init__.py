"""A client of the Sandbox Gateway: throw-away Linux machines over HTTP.

    from sandbox_gateway import Sandbox

    with Sandbox.create() as sandbox:
        print(sandbox.commands.run("uname -a", check=True).output)

`Gateway` and `Sandbox` wait; `AsyncGateway` and `AsyncSandbox` are the same for asyncio. The
documentation is in `docs/client.md` of the project. This package imports nothing of the gateway.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import error_codes as errors
    from .aio.commands import AsyncCommandHandle, AsyncSession
    from .aio.gateway import AsyncGateway
    from .aio.sandbox import AsyncSandbox
    from .aio.terminal import AsyncTerminal
    from .api_error import (
        ApiError,
        BadAddress,
        CommandFailed,
        ConnectionLost,
        GatewayUnreachable,
        OutputLost,
        SandboxGatewayError,
        WaitTimeout,
    )
    from .models.commands import (
        Changes,
        CommandInfo,
        CommandResult,
        OutputGap,
        OutputPiece,
    )
    from .models.files import FileEvent, FileStat
    from .models.ports import ListeningPort, PortAddress
    from .models.sandboxes import AccessToken, Ended, Event, SandboxInfo, SandboxStats
    from .models.snapshots import Snapshot
    from .sync.commands import CommandHandle, Session
    from .sync.gateway import Gateway
    from .sync.sandbox import Sandbox
    from .sync.terminal import Terminal

__version__ = "0.1.0"

_HOMES = {
    ".aio.commands": ("AsyncCommandHandle", "AsyncSession"),
    ".aio.gateway": ("AsyncGateway",),
    ".aio.sandbox": ("AsyncSandbox",),
    ".aio.terminal": ("AsyncTerminal",),
    ".api_error": (
        *("ApiError", "BadAddress", "CommandFailed", "ConnectionLost", "GatewayUnreachable"),
        *("OutputLost", "SandboxGatewayError", "WaitTimeout"),
    ),
    ".models.commands": (*("Changes", "CommandInfo", "CommandResult", "OutputGap", "OutputPiece"),),
    ".models.files": ("FileEvent", "FileStat"),
    ".models.ports": ("ListeningPort", "PortAddress"),
    ".models.sandboxes": ("AccessToken", "Ended", "Event", "SandboxInfo", "SandboxStats"),
    ".models.snapshots": ("Snapshot",),
    ".sync.commands": ("CommandHandle", "Session"),
    ".sync.gateway": ("Gateway",),
    ".sync.sandbox": ("Sandbox",),
    ".sync.terminal": ("Terminal",),
}
"""Imported when they are asked for: httpx2 takes 150 ms, which a command line has not."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessToken",
    "ApiError",
    "AsyncCommandHandle",
    "AsyncGateway",
    "AsyncSandbox",
    "AsyncSession",
    "AsyncTerminal",
    "BadAddress",
    "Changes",
    "CommandFailed",
    "CommandHandle",
    "CommandInfo",
    "CommandResult",
    "ConnectionLost",
    "Ended",
    "Event",
    "FileEvent",
    "FileStat",
    "Gateway",
    "GatewayUnreachable",
    "ListeningPort",
    "OutputGap",
    "OutputLost",
    "OutputPiece",
    "PortAddress",
    "Sandbox",
    "SandboxGatewayError",
    "SandboxInfo",
    "SandboxStats",
    "Session",
    "Snapshot",
    "Terminal",
    "WaitTimeout",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module(".error_codes", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME_OF[name], __name__), name)
    globals()[name] = found
    return found
