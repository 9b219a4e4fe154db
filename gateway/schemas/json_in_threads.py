"""JSON texts that take long to read are read in threads, so that a worker answers others meanwhile.

What costs is the number of values: a mebibyte of empty objects takes 0.3 s, one string of that size
a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import gevent
from gevent.lock import BoundedSemaphore

Value = TypeVar("Value")

MANY_VALUES = 10_000
"""Commas and brackets from which on a text goes to a thread; fewer are read within 5 ms."""

AT_A_TIME = 2
"""Threads compete with the worker's own for the interpreter, 5 ms a turn."""


def read_aside(text: str | bytes, read: Callable[[], Value]) -> Value:
    """What `read` makes of `text`, or raises. `read` must not touch what greenlets share."""
    if len(text) < MANY_VALUES or _values_in(text) < MANY_VALUES:
        return read()
    with _turns():
        value: Value = gevent.get_hub().threadpool.apply(read)
        return value


def _values_in(text: str | bytes) -> int:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return sum(raw.count(mark) for mark in (b",", b"{", b"["))


@cache
def _turns() -> BoundedSemaphore:
    return BoundedSemaphore(AT_A_TIME)
