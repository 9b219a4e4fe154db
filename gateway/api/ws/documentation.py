"""What the WebSocket routes say of themselves: messages both ways, and errors."""

from __future__ import annotations

from gateway.errors import (
    BadFields,
    BadOffset,
    BadPath,
    BadRequest,
    CommandFinished,
    CommandNotFound,
    DiskFull,
    EngineFault,
    FeatureMissing,
    FileFault,
    GatewayFull,
    HostToolFailed,
    LineTooLong,
    NotDirectory,
    PathNotFound,
    PermissionDenied,
    RateLimited,
    RequestIdInUse,
    SandboxBusy,
    SandboxFault,
    SandboxNotFound,
    StdinFull,
    StdinNotOpen,
    StoreUnavailable,
    TerminalMissing,
    TooManyCommands,
    TooManyConnections,
    TooManySnapshots,
    TooManyStreams,
    TooManyWatches,
    TooMuchQueued,
    TooMuchUnread,
    UpgradeRequired,
    UserUnavailable,
)
from gateway.schemas.models import (
    AttachMessage,
    CommandList,
    CommandRequest,
    CommandResult,
    CommandStarted,
    FileEvent,
    ListMessage,
    OutputGap,
    OutputPiece,
    Overflow,
    PingMessage,
    Pong,
    ResizeMessage,
    SandboxEnded,
    SandboxRestored,
    SignalMessage,
    SocketError,
    StdinMessage,
    TerminalQuery,
    WatchQuery,
)
from gateway.schemas.models import Watching as WatchingMessage
from gateway.schemas.route_documentation import Reply, Socket, documented

OF_CHECKPOINTS = (SandboxBusy, TooManySnapshots, DiskFull, HostToolFailed)
"""Why a command that asks for a checkpoint, or for its changes, is not started."""

COMMANDS = documented(
    summary="Run commands in a sandbox",
    description="A WebSocket. Each text frame from the client is a command; each command gets "
    "one text frame back, in the order in which commands finish. Closing the connection "
    "neither ends the sandbox nor what runs in it.",
    tag="Commands",
    replies={101: Reply(description="The WebSocket is open.", media_type=None)},
    errors=(
        SandboxNotFound,
        UpgradeRequired,
        TooManyConnections,
        EngineFault,
        StoreUnavailable,
    ),
    socket=Socket(
        from_client=(
            CommandRequest,
            StdinMessage,
            SignalMessage,
            ResizeMessage,
            AttachMessage,
            ListMessage,
            PingMessage,
        ),
        to_client=(
            CommandResult,
            CommandStarted,
            OutputPiece,
            OutputGap,
            CommandList,
            Pong,
            SocketError,
            SandboxEnded,
            SandboxRestored,
        ),
        errors=(
            BadRequest,
            RateLimited,
            RequestIdInUse,
            TooManyCommands,
            TooManyStreams,
            TooMuchUnread,
            TooMuchQueued,
            GatewayFull,
            CommandNotFound,
            CommandFinished,
            BadOffset,
            BadPath,
            StdinNotOpen,
            StdinFull,
            LineTooLong,
            TerminalMissing,
            FeatureMissing,
            UserUnavailable,
            *OF_CHECKPOINTS,
            EngineFault,
            SandboxFault,
        ),
    ),
)


TERMINAL = documented(
    summary="A raw terminal in a sandbox",
    description="A WebSocket on which binary frames are the terminal's bytes, both ways. Text "
    "frames carry `resize` and, at the end, the `result`.",
    tag="Commands",
    query=TerminalQuery,
    replies={101: Reply(description="The WebSocket is open.", media_type=None)},
    errors=(
        SandboxNotFound,
        UpgradeRequired,
        BadFields,
        UserUnavailable,
        TooManyConnections,
        EngineFault,
        StoreUnavailable,
    ),
    socket=Socket(
        from_client=(ResizeMessage,),
        to_client=(CommandResult, SocketError, SandboxEnded, SandboxRestored),
        errors=(
            *(BadRequest, RateLimited, CommandNotFound, CommandFinished),
            *(StdinFull, LineTooLong, TooMuchQueued, GatewayFull, EngineFault, SandboxFault),
        ),
    ),
)


WATCH = documented(
    summary="Watch files",
    description="A WebSocket that tells what happens to a directory or a file from now on. "
    "`watching` comes first. A new file is `created`, then `attributes` where they are set, "
    "then `written`; a rename within what is watched is one event. What the gateway itself "
    "writes shows as `created` or `written`.",
    tag="Files",
    query=WatchQuery,
    replies={101: Reply(description="The WebSocket is open.", media_type=None)},
    errors=(
        *(BadFields, BadPath, PathNotFound, PermissionDenied, NotDirectory, TooManyWatches),
        *(SandboxNotFound, UpgradeRequired, TooManyConnections, FeatureMissing, FileFault),
        UserUnavailable,
        *(SandboxFault, EngineFault, StoreUnavailable),
    ),
    socket=Socket(
        from_client=(),
        to_client=(
            WatchingMessage,
            FileEvent,
            Overflow,
            SocketError,
            SandboxEnded,
            SandboxRestored,
        ),
        errors=(BadRequest, SandboxFault),
    ),
)
