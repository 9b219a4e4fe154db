"""Calls about commands."""

from __future__ import annotations

import base64
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from ..models.commands import CommandInfo
from .followed_command import SMALL_RESULT_BYTES
from .retrying import Retrying
from .steps import Call, Request, segment

INPUT_BYTES = 256 * 1024
"""Of one message to a command's input."""


class CommandOptions(TypedDict, total=False):
    """What a command may be given.

    `timeout` seconds, after which it is ended with 124; `cwd` and `env`; `stdin` is all that it
    reads; with `interactive` its input stays open for `write`; `tty` is (columns, rows) of a
    terminal; `session` the name of a shell that keeps directory and variables; `checkpoint` takes a
    snapshot before, `changes` lists what changed meanwhile. `request_id` is its name: where a
    command of this name was started before, that one is meant, and nothing runs twice.
    """

    timeout: float | None
    cwd: str | None
    env: Mapping[str, str] | None
    stdin: str | bytes | None
    interactive: bool
    tty: tuple[int, int] | None
    session: str | None
    checkpoint: bool
    changes: bool
    request_id: str | None
    user: str | None


@dataclass(frozen=True)
class OutputSlice:
    """Bytes of a stream. `offset` is larger than asked for where what lay before is not kept."""

    offset: int
    data: bytes
    next: int
    is_complete: bool


def command_body(command: str | Sequence[str], options: CommandOptions) -> dict[str, Any]:
    """The body that starts it. It has a `request_id` and `once`: sent again, it never runs twice.
    Output is asked for as base64, so that bytes can be counted."""
    body: dict[str, Any] = {
        "command": command_text(command),
        "request_id": options.get("request_id") or str(uuid.uuid4()),
        "once": True,
        "encoding": "base64",
        "max_output_bytes": SMALL_RESULT_BYTES,
    }
    for name in ("timeout", "cwd", "session", "user"):
        if options.get(name) is not None:
            body[name] = options[name]
    for name in ("interactive", "checkpoint", "changes"):
        if options.get(name):
            body[name] = True
    if options.get("env"):
        body["env"] = dict(options["env"] or {})
    stdin = options.get("stdin")
    if stdin is not None:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        body |= {"stdin": base64.b64encode(data).decode("ascii"), "stdin_encoding": "base64"}
    tty = options.get("tty")
    if tty is not None:
        body["tty"] = {"cols": tty[0], "rows": tty[1]}
    return body


def command_text(command: str | Sequence[str]) -> str:
    """A text is the shell's; a list is a program and its arguments, which no shell changes."""
    return command if isinstance(command, str) else f"exec {shlex.join(command)}"


def start(retrying: Retrying, sandbox: str, body: Mapping[str, Any]) -> Call[int | None]:
    """Start it in the background; its process id inside the sandbox."""
    answer = yield from retrying.exchange(
        Request("POST", _address(sandbox), json={**body, "background": True})
    )
    pid: int | None = answer.json().get("pid")
    return pid


def find_all(retrying: Retrying, sandbox: str) -> Call[list[CommandInfo]]:
    """Those that run and those that have lately finished, oldest first."""
    answer = yield from retrying.exchange(Request("GET", _address(sandbox)))
    return [CommandInfo.from_json(one) for one in answer.json()]


def show(retrying: Retrying, sandbox: str, request_id: str) -> Call[CommandInfo]:
    """How it stands."""
    answer = yield from retrying.exchange(
        Request("GET", f"{_address(sandbox)}/{segment(request_id)}", {"max_output_bytes": 0})
    )
    return CommandInfo.from_json(answer.json())


def signal(retrying: Retrying, sandbox: str, request_id: str, name: str) -> Call[None]:
    """To its whole process tree. Not sent twice: a second INT means something else to many."""
    path = f"{_address(sandbox)}/{segment(request_id)}/signal"
    yield from retrying.exchange(Request("POST", path, json={"signal": name}, is_repeatable=False))


def write(
    retrying: Retrying, sandbox: str, request_id: str, data: bytes, *, eof: bool = False
) -> Call[None]:
    """Write to its input; returns when all was taken. Not sent twice: where the connection breaks,
    ConnectionLost says that some of it may have been written."""
    path = f"{_address(sandbox)}/{segment(request_id)}/stdin"
    pieces = [data[n : n + INPUT_BYTES] for n in range(0, len(data), INPUT_BYTES)] or [b""]
    for number, piece in enumerate(pieces):
        message = {
            "data": base64.b64encode(piece).decode("ascii"),
            "encoding": "base64",
            "eof": eof and number == len(pieces) - 1,
        }
        yield from retrying.exchange(
            # A command may read as slowly as it likes.
            Request("POST", path, json=message, is_repeatable=False, silence_s=None)
        )


def _address(sandbox: str) -> str:
    return f"/sandboxes/{segment(sandbox)}/commands"


def output_slice(
    retrying: Retrying, sandbox: str, request_id: str, stream: str, offset: int
) -> Call[OutputSlice]:
    """What stands at an offset of `stdout` or `stderr`, at once."""
    path = f"{_address(sandbox)}/{segment(request_id)}/output"
    answer = yield from retrying.exchange(
        Request("GET", path, {"stream": stream, "offset": offset})
    )
    headers = answer.headers
    return OutputSlice(
        int(headers["x-output-offset"]),
        answer.body,
        int(headers["x-output-next"]),
        headers["x-output-complete"] == "true",
    )
