"""Waiting for what happens soon, instead of sleeping for as long as it might take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

SOONEST_S = 0.02
LATEST_S = 0.2
"""Between two looks. Most looks are requests, some milliseconds of two processes' time: where many
tests wait side by side for seconds, twenty looks a second of each are what they wait for."""

PART = 0.05
"""Of what was waited for so far: so much longer may a wait take."""


def eventually(
    predicate: Callable[[], Value], *, within_s: float = 10.0, every_s: float | None = None
) -> Value:
    """The first true value of `predicate`, asked again and again: every `every_s` seconds if given,
    else first often and then more seldom.

    An AssertionError raised by it counts as "not yet". Raises AssertionError with the last such
    error, or the last value, when the time is over.
    """
    begun = time.monotonic()
    deadline = begun + within_s
    while True:
        failure: AssertionError | None = None
        value: object = None
        try:
            value = predicate()
            if value:
                return value
        except AssertionError as error:
            failure = error
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(
                f"not within {within_s:g} s: {failure or f'the last value was {value!r}'}"
            ) from failure
        pause_s = min(max((now - begun) * PART, SOONEST_S), LATEST_S)
        time.sleep(pause_s if every_s is None else every_s)


def always(predicate: Callable[[], object], *, for_s: float, every_s: float = 0.05) -> None:
    """Assert that `predicate` stays true for so long."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        value = predicate()
        assert value, f"it was true, and then {value!r}"
        time.sleep(every_s)
