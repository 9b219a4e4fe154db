"""What happens to a process, as the messages that E2B's clients get."""

from __future__ import annotations

import base64
from typing import Any

from gateway.api.e2b.envelopes import enveloped
from gateway.protocol import streams
from gateway.schemas.command_event import Exited, Gap, Output

Message = dict[str, Any]

KEEPALIVE: Message = {"event": {"keepalive": {}}}

PIECE_BYTES = 32 * 1024
"""Of output in one message."""

_NAMES = {streams.STDOUT: "stdout", streams.STDERR: "stderr"}
_PTY = "pty"

_SIGNALS = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    5: "trace/breakpoint trap",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    10: "user defined signal 1",
    11: "segmentation fault",
    12: "user defined signal 2",
    13: "broken pipe",
    14: "alarm clock",
    15: "terminated",
}
"""As Go, in which E2B's own service is written, calls them on Linux (syscall, zerrors)."""


def started(pid: int) -> Message:
    """The first message."""
    return {"event": {"start": {"pid": pid}}}


def output(event: Output, *, on_terminal: bool) -> list[tuple[bytes, int]]:
    """Envelopes, each with the offset up to which it brings the stream. What is no text stays as
    it is: clients join what was cut."""
    name = _PTY if on_terminal else _NAMES[event.stream]
    before = b'{"event":{"data":{"%b":"' % name.encode()
    view = memoryview(event.data)
    told = []
    for at in range(0, len(view), PIECE_BYTES):
        piece = view[at : at + PIECE_BYTES]
        written = base64.b64encode(piece)
        envelope = enveloped(b'%b%b"}}}' % (before, written))
        told.append((envelope, event.offset + at + len(piece)))
    return told


def gap(event: Gap, *, on_terminal: bool) -> Message:
    """This protocol has no word for output that is not kept any more, and to say nothing would be
    to hide it: so it is a line of standard error, or of the terminal."""
    stream = "terminal" if on_terminal else _NAMES[event.stream]
    text = f"[sandbox gateway: {event.end - event.start} bytes of {stream} were not kept]"
    line = f"\r\n{text}\r\n" if on_terminal else f"{text}\n"
    name = _PTY if on_terminal else _NAMES[streams.STDERR]
    return {"event": {"data": {name: base64.b64encode(line.encode()).decode()}}}


def ended(event: Exited) -> Message:
    """The last message, as Go's `ProcessState` puts it. A success has no `error`."""
    if event.signal is not None:
        status = f"signal: {_SIGNALS.get(event.signal, f'signal {event.signal}')}"
        end: Message = {"exitCode": -1, "exited": False, "status": status, "error": status}
    else:
        status = f"exit status {event.returncode}"
        end = {"exitCode": event.returncode, "exited": True, "status": status}
        if event.returncode != 0:
            end["error"] = status
    return {"event": {"end": end}}
