"""One typed model per message that clients send or get.

They validate what comes in, write what goes out, and make `/openapi.json`: a field that is not
here does not exist. The examples are what the documentation shows.
"""

from gateway.models.base import Answer, Request
from gateway.models.commands import (
    CommandInput,
    CommandOptions,
    CommandRequest,
    CommandRun,
    CommandSignal,
    TerminalSize,
)
from gateway.models.queries import CommandQuery, OutputQuery, TerminalQuery
from gateway.models.results import (
    Command,
    CommandAccepted,
    CommandResult,
    CommandSummary,
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
from gateway.models.socket_messages import (
    AttachMessage,
    CommandList,
    CommandStarted,
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
)
from gateway.models.tokens import TokenIssued, TokenRequest

__all__ = [
    "SANDBOX_ID_PATTERN",
    "Answer",
    "AttachMessage",
    "Check",
    "Command",
    "CommandAccepted",
    "CommandInput",
    "CommandList",
    "CommandOptions",
    "CommandQuery",
    "CommandRequest",
    "CommandResult",
    "CommandRun",
    "CommandSignal",
    "CommandStarted",
    "CommandSummary",
    "Deleted",
    "FieldError",
    "Health",
    "ListMessage",
    "OutputGap",
    "OutputPiece",
    "OutputQuery",
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
    "TerminalQuery",
    "TerminalSize",
    "TokenIssued",
    "TokenRequest",
    "Truncated",
]
