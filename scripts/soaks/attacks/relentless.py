"""Doing the same again and again, whatever comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import requests
import websocket

from ..caller import Caller

REFUSED = (requests.RequestException, websocket.WebSocketException, OSError, ValueError, KeyError)
PAUSE_S = 0.2


def relentlessly(step: Callable[[], object], pause_s: float = 0.0) -> NoReturn:
    """Call `step` for ever. After a refusal it waits a moment, as an attacker's loop does."""
    while True:
        try:
            step()
            time.sleep(pause_s)
        except REFUSED:
            time.sleep(PAUSE_S)


def a_sandbox(caller: Caller) -> str:
    """The id of a new one, however long the gateway takes to give it."""
    while True:
        try:
            return caller.create()
        except REFUSED:
            time.sleep(PAUSE_S)


def at_once(steps: Sequence[Callable[[], object]]) -> NoReturn:
    """Each step relentlessly, in a thread of its own."""
    threads = [threading.Thread(target=relentlessly, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    while True:
        time.sleep(3600)
