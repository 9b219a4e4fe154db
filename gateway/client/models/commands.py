"""Commands: how they stand, what they write, how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answer import Answer


@dataclass(frozen=True)
class ChangeCounts(Answer):
    """How many paths there are of each kind, also of those that are not named."""

    added: int
    modified: int
    deleted: int


@dataclass(frozen=True)
class NotUtf8(Answer):
    """Place in a list (`kind`, `index`) of a path that is not UTF-8, and its bytes as base64."""

    kind: str
    index: int
    path_b64: str


@dataclass(frozen=True)
class Changes(Answer):
    """What a file system gained and lost. `truncated`: some are counted, but not named."""

    added: list[str]
    modified: list[str]
    deleted: list[str]
    counts: ChangeCounts
    truncated: bool
    not_utf8: list[NotUtf8] | None = None


@dataclass(frozen=True)
class OutputGap:
    """Bytes of a stream (`stdout`, `stderr`) that are not kept any more: offsets `start` to
    `end`, the latter not included."""

    stream: str
    start: int
    end: int


@dataclass(frozen=True)
class OutputPiece:
    """What a command wrote to `stream` (`stdout` or `stderr`). `offset` counts the bytes before."""

    stream: str
    offset: int
    data: bytes

    @property
    def text(self) -> str:
        """As text; bytes that are no UTF-8 are U+FFFD."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class CommandStarted:
    """The command runs. `pid` is that inside the sandbox."""

    pid: int | None


CommandEvent = CommandStarted | OutputPiece | OutputGap


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    `stdout` and `stderr` are all that it wrote, unless `gaps` or `left_out_bytes` say otherwise:
    what is not kept in the sandbox any more, and what was more than `max_output_bytes` of the call,
    in the middle of a stream. `returncode` is as shells report it: 127 not found, 126 not
    executable, 128+n ended by signal n, 124 timed out.
    """

    request_id: str
    command: str
    returncode: int
    stdout: bytes
    stderr: bytes
    timestamp: str = ""
    timed_out: bool = False
    session_ended: bool = False
    checkpoint: str | None = None
    changes: Changes | None = None
    changes_missing: str | None = None
    gaps: tuple[OutputGap, ...] = ()
    left_out_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether the return code is 0."""
        return self.returncode == 0

    @property
    def output(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def error(self) -> str:
        """Standard error as text or, when the command could not be run, why."""
        return self.stderr.decode("utf-8", "replace")

    @property
    def is_complete(self) -> bool:
        """Whether `stdout` and `stderr` are all that it wrote."""
        return not self.gaps and not any(self.left_out_bytes.values())

    def to_json(self) -> dict[str, Any]:
        """With the fields of the gateway's own result, and whatever else there is to say."""
        shown: dict[str, Any] = {
            "request_id": self.request_id,
            "command": self.command,
            "success": self.success,
            "output": self.output,
            "error": self.error,
            "returncode": self.returncode,
            "timestamp": self.timestamp,
        }
        for name in ("timed_out", "session_ended", "checkpoint", "changes_missing"):
            if getattr(self, name):
                shown[name] = getattr(self, name)
        if self.changes is not None:
            shown["changes"] = self.changes.to_json()
        if self.gaps:
            shown["gaps"] = [vars(gap) for gap in self.gaps]
        if any(self.left_out_bytes.values()):
            shown["left_out_bytes"] = dict(self.left_out_bytes)
        return shown


@dataclass(frozen=True)
class CommandInfo(Answer):
    """A command as it stood when it was asked for. `status` is `running` or `finished`."""

    request_id: str
    command: str
    status: str
    pid: int | None = None
    started_at: float | None = None
    returncode: int | None = None
    session: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
