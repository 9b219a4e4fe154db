"""What is said of a command, in a bounded number of characters."""

from __future__ import annotations

from typing import Any

from gateway.api.mcp.arguments import ReadOutput
from gateway.api.mcp.budget import cost, prefix, rooms, shortened, whole_text
from gateway.api.mcp.kept_output import Both, Onwards
from gateway.api.mcp.plain_text import PlainText
from gateway.protocol import streams
from gateway.schemas.models import CommandSummary

AROUND = 200
"""Characters of an answer besides output: names, ids, numbers, brackets."""

AROUND_GAP = 80

NUMBERS = {"stdout": streams.STDOUT, "stderr": streams.STDERR}
"""Of streams, as events have them."""


def state(command: CommandSummary) -> dict[str, Any]:
    """How a command stands."""
    return {
        "request_id": command.request_id,
        "status": command.status,
        "returncode": command.returncode if command.status == "finished" else None,
    }


def of_run(request_id: str, ran: Both, budget: int) -> dict[str, Any]:
    """What is said of a command that was run: of both streams what fits, and where to read on."""
    exited = ran.exited
    is_end = exited is not None
    kept = {name: ran.streams[number].kept() for name, number in NUMBERS.items()}
    room = budget - AROUND
    failure = exited.failure if exited is not None else None
    if failure:
        room -= cost(failure[: budget // 8])
    # What was not kept in whole takes more than all the room.
    texts = {name: whole_text(one, is_end=is_end) for name, one in kept.items()}
    costs = {name: room + 1 if text is None else cost(text) for name, text in texts.items()}
    of_stdout, of_stderr = rooms((costs["stdout"], costs["stderr"]), room)
    stdout = shortened(kept["stdout"], of_stdout, stream="stdout", is_end=is_end)
    stderr = shortened(kept["stderr"], of_stderr, stream="stderr", is_end=is_end)
    said_of_failure = f"{failure[: budget // 8]}\n" if failure else ""
    return {
        "request_id": request_id,
        "status": "running" if exited is None else "finished",
        "returncode": None if exited is None else exited.returncode,
        "stdout": stdout.text,
        "stderr": said_of_failure + stderr.text,
        "truncated": stdout.truncated or stderr.truncated,
        "next_offset": stdout.next_offset,
    }


def of_reading(
    asked: ReadOutput, found: Onwards, now: CommandSummary, budget: int
) -> dict[str, Any]:
    """What follows an offset, in order. `found` may have more than fits."""
    size = now.stdout_bytes if asked.stream == "stdout" else now.stderr_bytes
    is_all = now.status == "finished" and found.next >= size
    plain = PlainText(bytes(found.data), is_end=is_all)
    text = prefix(plain.text, budget - AROUND - AROUND_GAP)
    next_offset = found.start + plain.bytes_before(len(text))
    said = state(now) | {
        "stdout": text if asked.stream == "stdout" else "",
        "stderr": text if asked.stream == "stderr" else "",
        "truncated": size > next_offset,
        "next_offset": next_offset,
    }
    if found.gap is not None:
        said["gap"] = {"from": found.gap[0], "to": found.gap[1]}
    return said
