"""What a command is to be: a client's request in the form that agents take."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from gevent.event import Event

from gateway.agent.processes.terminal_line import LONGEST_LINE
from gateway.errors import LineTooLong
from gateway.link.users import User
from gateway.protocol import frames
from gateway.schemas.models import CommandRequest
from gateway.schemas.models.commands import MAX_RESULT_BYTES

_TOO_LONG = re.compile(rb"[^\n\r\x04]{%d}" % (LONGEST_LINE + 1))
"""A line that a terminal cuts, unless its program reads without lines; none does at its start."""

Encoding = Literal["utf-8", "base64"]

SCREEN_BYTES = 64 * 1024
"""Of a terminal's output that a new viewer gets to see."""

_LOGIN_SHELL = 'exec "${SHELL:-/bin/sh}" -l'
"""What is shown of it; agents have more to say to a shell (`gateway.agent.processes.login`)."""


@dataclass(frozen=True, eq=False)
class CommandSpec:
    """A command to be started, or found again under the same `key`.

    `key` names it within its sandbox for as long as anything about it is remembered, and never
    starts twice. `cap` bounds output and error in the result, in bytes each.
    """

    key: str
    request_id: str
    command: str
    cap: int
    encoding: Encoding
    once: bool
    options: dict[str, Any]
    """The fields of the agent's `run` that not every command has."""
    user: User = "user"
    """Whom it runs as."""
    checkpoint: bool = False
    changes: bool = False
    """What it asks for besides: see `gateway.commands.file_effects`."""
    handed_over: Event = field(default_factory=Event)
    """Set once the command is the sandbox's and no longer the gateway's."""

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing that needs an agent."""
        return not self.options and not self.once

    @property
    def is_watched(self) -> bool:
        """Whether it asks for more than to be run."""
        return self.checkpoint or self.changes

    def run_message(self, checkpoint: str | None = None) -> dict[str, Any]:
        """The agent's `run`, but for how it is to be read. `checkpoint` was taken before it."""
        message: dict[str, Any] = {
            "op": "run",
            "key": self.key,
            "request_id": self.request_id,
            "command": self.command,
            "meta": {
                "key": self.key,
                "request_id": self.request_id,
                "command": self.command,
                "cap": self.cap,
                "encoding": self.encoding,
            },
            **self.options,
        }
        if checkpoint is not None:
            message["meta"]["checkpoint"] = checkpoint
        if self.changes:
            message["meta"]["changes"] = True
        if "input" in self.options:
            message |= {"input": True, frames.BODY: self.options["input"]}
        return message


def request_id_of(given: str | None) -> str:
    """The client's id for its request, generated when it gave none."""
    return given or str(uuid.uuid4())


def spec_of(request: CommandRequest, request_id: str, default_cap: int) -> CommandSpec:
    """The spec of a valid request. Raises LineTooLong."""
    options: dict[str, Any] = {}
    for name in ("timeout", "cwd", "env", "session", "argv"):
        value = getattr(request, name)
        if value is not None:
            options[name] = value
    if request.stdin is not None:
        options["input"] = request.input
        if request.tty is not None and _TOO_LONG.search(options["input"]):
            raise LineTooLong("send it as input once the program reads without lines")
    if request.interactive:
        options["interactive"] = True
    if request.tty is not None:
        options["tty"] = {"cols": request.tty.cols, "rows": request.tty.rows}
    cap = default_cap if request.max_output_bytes is None else request.max_output_bytes
    return CommandSpec(
        key=f"once:{request_id}" if request.once else uuid.uuid4().hex,
        request_id=request_id,
        command=request.command,
        cap=cap,
        encoding=request.encoding,
        once=request.once,
        options=options,
        user=request.user,
        checkpoint=request.checkpoint,
        changes=request.changes,
    )


def terminal_of(request_id: str, cols: int, rows: int, user: User = "user") -> CommandSpec:
    """A login shell on a terminal that several clients may share by its request_id."""
    return CommandSpec(
        key=f"terminal:{request_id}",
        request_id=request_id,
        command=_LOGIN_SHELL,
        cap=0,  # its screen has been shown already
        encoding="utf-8",
        once=False,
        user=user,
        options={
            "tty": {"cols": cols, "rows": rows},
            "login": True,
            "tail": SCREEN_BYTES,
            # After `exit`, whoever comes back gets a new shell.
            "anew": True,
            # A shell that was left open must not keep its sandbox for ever.
            "uncounted": True,
        },
    )


def process_of(
    key: str,
    argv: list[str],
    *,
    command: str,
    env: dict[str, str],
    cwd: str | None,
    tag: str | None,
    size: tuple[int, int] | None,
    with_stdin: bool,
    timeout_s: float | None,
    user: User = "user",
    cap: int = MAX_RESULT_BYTES,
) -> CommandSpec:
    """A program that is started as it is, without a shell, and found by its pid or `tag`; `command`
    is what lists show. With a `size` (columns, rows) it runs on a terminal. After `timeout_s`
    seconds its whole process tree gets a KILL."""
    options: dict[str, Any] = {"argv": argv, "env": env}
    if cwd is not None:
        options["cwd"] = cwd
    if tag is not None:
        options["tag"] = tag
    if size is not None:
        # As terminals of other surfaces: one that was left open must not keep its sandbox for ever.
        options |= {"tty": {"cols": size[0], "rows": size[1]}, "uncounted": True}
    elif with_stdin:
        options["interactive"] = True
    if timeout_s is not None:
        options |= {"timeout": timeout_s, "kill": True}
    return CommandSpec(
        key=key,
        request_id=key,
        command=command,
        cap=cap,
        encoding="utf-8",
        once=False,
        options=options,
        user=user,
    )
