"""One typed model per message that clients send or get.

They validate what comes in, write what goes out, and make `/openapi.json`: a field that is not
here does not exist. The examples are what the documentation shows.
"""

from gateway.schemas.models.base import Answer, Request
from gateway.schemas.models.commands import (
    CommandInput,
    CommandOptions,
    CommandRequest,
    CommandRun,
    CommandSignal,
    TerminalSize,
)
from gateway.schemas.models.ports import ListeningPort, PortToken, PortTokenRequest
from gateway.schemas.models.queries import (
    CommandQuery,
    EventQuery,
    OutputQuery,
    SandboxQuery,
    TerminalQuery,
)
from gateway.schemas.models.results import (
    Command,
    CommandAccepted,
    CommandResult,
    CommandSummary,
    Truncated,
)
from gateway.schemas.models.sandbox_history import Ended, Event, LastCommand
from gateway.schemas.models.sandbox_stats import Amount, CpuUsage, NetworkUsage, SandboxStats
from gateway.schemas.models.sandboxes import (
    ID_OR_NAME_PATTERN,
    LOOKS_LIKE_AN_ID,
    SANDBOX_ID_PATTERN,
    Deleted,
    Sandbox,
    SandboxChange,
    SandboxCreate,
    SandboxCreated,
    SandboxStatus,
)
from gateway.schemas.models.service import (
    Check,
    FieldError,
    Health,
    PostureCheck,
    Problem,
    Readiness,
)
from gateway.schemas.models.socket_messages import (
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
from gateway.schemas.models.tokens import TokenIssued, TokenRequest

__all__ = [
    "ID_OR_NAME_PATTERN",
    "LOOKS_LIKE_AN_ID",
    "SANDBOX_ID_PATTERN",
    "Amount",
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
    "CpuUsage",
    "Deleted",
    "Ended",
    "Event",
    "EventQuery",
    "FieldError",
    "Health",
    "LastCommand",
    "ListMessage",
    "ListeningPort",
    "NetworkUsage",
    "OutputGap",
    "OutputPiece",
    "OutputQuery",
    "PingMessage",
    "Pong",
    "PortToken",
    "PortTokenRequest",
    "PostureCheck",
    "Problem",
    "Readiness",
    "Request",
    "ResizeMessage",
    "Sandbox",
    "SandboxChange",
    "SandboxCreate",
    "SandboxCreated",
    "SandboxEnded",
    "SandboxQuery",
    "SandboxStats",
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
