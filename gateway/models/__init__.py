"""One typed model per message that clients send or get.

They validate what comes in, write what goes out, and make `/openapi.json`: a field that is not
here does not exist. The examples are what the documentation shows.
"""

from gateway.models.base import Answer, Request
from gateway.models.commands import (
    AttachMessage,
    CommandList,
    CommandOptions,
    CommandRequest,
    CommandResult,
    CommandStarted,
    CommandSummary,
    ListMessage,
    OutputGap,
    OutputPiece,
    PingMessage,
    Pong,
    ResizeMessage,
    SandboxEnded,
    SignalMessage,
    SocketError,
    StdinMessage,
    TerminalSize,
    Truncated,
)
from gateway.models.sandboxes import (
    SANDBOX_ID_PATTERN,
    Deleted,
    Sandbox,
    SandboxCreate,
    SandboxCreated,
    SandboxStatus,
)
from gateway.models.service import Check, FieldError, Health, Problem, Readiness

__all__ = [
    "SANDBOX_ID_PATTERN",
    "Answer",
    "AttachMessage",
    "Check",
    "CommandList",
    "CommandOptions",
    "CommandRequest",
    "CommandResult",
    "CommandStarted",
    "CommandSummary",
    "Deleted",
    "FieldError",
    "Health",
    "ListMessage",
    "OutputGap",
    "OutputPiece",
    "PingMessage",
    "Pong",
    "Problem",
    "Readiness",
    "Request",
    "ResizeMessage",
    "Sandbox",
    "SandboxCreate",
    "SandboxCreated",
    "SandboxEnded",
    "SandboxStatus",
    "SignalMessage",
    "SocketError",
    "StdinMessage",
    "TerminalSize",
    "Truncated",
]
