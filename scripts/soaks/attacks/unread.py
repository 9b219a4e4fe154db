"""Answers that nobody reads, and messages that wait."""

from __future__ import annotations

import contextlib
import json
import time
from typing import NoReturn

from ..caller import Caller, command
from .relentless import a_sandbox, at_once, relentlessly

HELD_S = 60.0
ANSWERS = 12
QUEUED = 300
MIB = 1024 * 1024
MUCH = f"head -c {8 * MIB} /dev/zero | tr '\\0' x; head -c {8 * MIB} /dev/zero | tr '\\0' y >&2"


def unread_answers(caller: Caller) -> NoReturn:
    """Twelve REST clients that take large results and read nothing."""
    sandbox_id = a_sandbox(caller)

    def step() -> None:
        body = command(MUCH).encode()
        head = caller.head(
            "POST",
            f"/sandboxes/{sandbox_id}/commands",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        with caller.dial() as connection:
            connection.sendall(head + body)
            time.sleep(HELD_S)

    at_once([step] * ANSWERS)


def unread_pages(caller: Caller) -> NoReturn:
    """Clients that ask for the whole history on one connection after the other, reading nothing."""

    def step() -> None:
        with caller.dial() as connection:
            connection.sendall(caller.head("GET", "/events?limit=1000") * 20)
            time.sleep(HELD_S)

    at_once([step] * ANSWERS)


def unread_socket(caller: Caller) -> NoReturn:
    """A WebSocket whose client asks for much and reads nothing."""
    sandbox_id = a_sandbox(caller)

    def step() -> None:
        with contextlib.closing(caller.connect(sandbox_id)) as connection:
            for _ in range(8):
                connection.send(command("yes", stream=True, timeout=HELD_S))
            for _ in range(8):
                connection.send(command(MUCH))
            time.sleep(HELD_S)

    relentlessly(step)


def queued_messages(caller: Caller) -> NoReturn:
    """Hundreds of commands with a megabyte of input each, behind one that does not end."""
    sandbox_id = a_sandbox(caller)
    stdin = "x" * (MIB - 4096)

    def step() -> None:
        with contextlib.closing(caller.connect(sandbox_id)) as connection:
            connection.send(command("sleep 30", session="one", timeout=30))
            for _ in range(QUEUED):
                connection.send(command("cat >/dev/null", session="one", stdin=stdin))
            time.sleep(HELD_S)

    relentlessly(step)


def inputs_that_nobody_reads(caller: Caller) -> NoReturn:
    """Input for a command that does not take it."""
    sandbox_id = a_sandbox(caller)
    data = "x" * (MIB - 4096)

    def step() -> None:
        with contextlib.closing(caller.connect(sandbox_id)) as connection:
            started = {"request_id": "idle", "interactive": True, "timeout": HELD_S}
            connection.send(command("sleep 60", **started))
            message = json.dumps({"type": "stdin", "request_id": "idle", "data": data})
            for _ in range(QUEUED):
                connection.send(message)
            time.sleep(HELD_S)

    relentlessly(step)
