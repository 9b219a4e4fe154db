"""`growth`: whether a worker's memory comes to a plateau, after how many commands and sandboxes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import requests
import websocket
from benchmarks.gateway import private_gateway

from . import watching
from .caller import Caller
from .judgement import Figure
from .mixed_commands import Mixture
from .processes import pipe, running

CLIENTS = 3
LIMIT_S = 4 * 3600.0
TOLD_S = 30.0
ERRORS_TOLD = 10
PLATEAU_MIB = 4.0
"""By so much the mean of the last quarter may be above that of the third, per worker."""

MIB = 1024 * 1024


def run(root: Path, sandboxes: int, commands: int, say: Callable[[str], None]) -> list[Figure]:
    """Let `sandboxes` live one after the other, with `commands` in all of them together.

    Raises BenchmarkFailed when the gateway does not start.
    """
    with ExitStack() as held:
        gateway = held.enter_context(private_gateway(root, workers=1))
        watch = held.enter_context(watching.Watch(gateway.pid, gateway.data_dir))
        received, sending = pipe()
        each = -(-commands // sandboxes)
        share = -(-sandboxes // CLIENTS)
        for seed in range(CLIENTS):
            held.enter_context(running(_live, Caller(gateway.url), seed, share, each, sending))
        lived, errors = _follow(received, share * CLIENTS, each, watch, say)
        samples = max(watch.pss.values(), key=len)
    return [
        Figure("sandboxes that did not come to their end", share * CLIENTS - lived, 0),
        Figure("errors", errors, 0),
        Figure("workers that were replaced", len(watch.pss) - 1, 0),
        Figure("growth in the last quarter", growth_mib(samples), PLATEAU_MIB, "MiB"),
    ]


def growth_mib(samples: list[int]) -> float | None:
    """Mean of the last quarter of `samples` (bytes) above that of the quarter before, in MiB."""
    quarter = len(samples) // 4
    if not quarter:
        return None
    before, last = samples[-2 * quarter : -quarter], samples[-quarter:]
    return (sum(last) - sum(before)) / quarter / MIB


def _follow(
    received: Any, expected: int, each: int, watch: watching.Watch, say: Callable[[str], None]
) -> tuple[int, int]:
    """How many sandboxes came to their end, and how many errors there were."""
    lived = errors = 0
    end, next_word = time.monotonic() + LIMIT_S, time.monotonic()
    while lived < expected and time.monotonic() < end:
        if received.poll(TOLD_S):
            error = received.recv()
            lived += not error
            errors += bool(error)
            if error and errors <= ERRORS_TOLD:
                say(f"error: {error}")
        if time.monotonic() >= next_word:
            next_word += TOLD_S
            memory = ", ".join(f"{samples[-1] / MIB:.1f}" for samples in watch.pss.values())
            say(f"{lived} sandboxes, {lived * each} commands: {memory} MiB")
    return lived, errors


def _live(caller: Caller, seed: int, sandboxes: int, commands: int, results: Any) -> None:
    """Tell an error, or "" for each sandbox that came to its end."""
    mixture, lived = Mixture(seed), 0
    while lived < sandboxes:
        try:
            _live_once(caller, mixture, commands)
        except (requests.RequestException, websocket.WebSocketException, OSError, ValueError) as e:
            results.send(f"{e!r:.300}")
            time.sleep(1)
        else:
            results.send("")
            lived += 1


def _live_once(caller: Caller, mixture: Mixture, commands: int) -> None:
    sandbox_id = caller.create(labels={"of": "growth"})
    with closing(caller.connect(sandbox_id)) as connection:
        for _ in range(commands):
            mixture.run_one(caller, sandbox_id, connection)
    for path in ("/events?limit=100", "/sandboxes", f"/sandboxes/{sandbox_id}/stats", "/metrics"):
        caller.ask("GET", path).raise_for_status()
    caller.delete(sandbox_id)
