"""Reading much, beside others who want little.

SQLite's calls, decoding and encoding let nobody else run in the worker. So a long list is made in
slices; of all lists one slice is made at a time, and then the worker belongs to others for as long
as that took. Lists get half of a busy worker at most, however many are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.lock import BoundedSemaphore

SLICE = 100
"""Rows that are read, or written as JSON, in one go: 1 to 5 ms."""

LONGEST_REST_S = 0.05

_turn = BoundedSemaphore(1)


@contextmanager
def slice_of_work() -> Iterator[None]:
    """Do one slice within the block. Waits for the turn, and rests afterwards."""
    with _turn:
        started = time.monotonic()
        yield
        gevent.sleep(min(time.monotonic() - started, LONGEST_REST_S))
