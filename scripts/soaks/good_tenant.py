"""The tenant who does nothing wrong: commands, creates, deletes, and how long each took."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import requests
import websocket

from .caller import Caller, command

PAUSE_S = 0.02
COMMANDS_PER_SANDBOX = 60


@dataclass
class Record:
    """Seconds by kind (`command`, `create`, `delete`), and what went wrong."""

    durations_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, kind: str, started: float) -> None:
        self.durations_s.setdefault(kind, []).append(time.perf_counter() - started)


def work(caller: Caller, duration_s: float, results: Any) -> None:
    """Sandbox after sandbox for `duration_s`; then send the Record through `results`."""
    record = Record()
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        try:
            _one_sandbox(caller, record, end)
        except (requests.RequestException, websocket.WebSocketException, OSError, ValueError) as e:
            record.errors.append(f"{e!r:.300}")
            time.sleep(0.5)
    results.send(record)
    results.close()


def _one_sandbox(caller: Caller, record: Record, end: float) -> None:
    started = time.perf_counter()
    sandbox_id = caller.create()
    record.add("create", started)
    try:
        with contextlib.closing(caller.connect(sandbox_id)) as connection:
            for number in range(COMMANDS_PER_SANDBOX):
                if time.monotonic() >= end:
                    break
                started = time.perf_counter()
                connection.send(command(f"echo {number}"))
                answer = json.loads(connection.recv())
                record.add("command", started)
                if answer.get("output") != f"{number}\n":
                    raise ValueError(f"echo {number} was answered by {answer!s:.200}")
                time.sleep(PAUSE_S)
    finally:
        started = time.perf_counter()
        caller.delete(sandbox_id)
        record.add("delete", started)
