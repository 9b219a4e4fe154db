"""Waiting for what happens soon, instead of sleeping for as long as it might take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def eventually(
    predicate: Callable[[], Value], *, within_s: float = 10.0, every_s: float = 0.05
) -> Value:
    """The first true value of `predicate`, asked again and again.

    An AssertionError raised by it counts as "not yet". Raises AssertionError with the last such
    error, or the last value, when the time is over.
    """
    deadline = time.monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        value: object = None
        try:
            value = predicate()
            if value:
                return value
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not within {within_s:g} s: {failure or f'the last value was {value!r}'}"
            ) from failure
        time.sleep(every_s)


def always(predicate: Callable[[], object], *, for_s: float, every_s: float = 0.05) -> None:
    """Assert that `predicate` stays true for so long."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        value = predicate()
        assert value, f"it was true, and then {value!r}"
        time.sleep(every_s)
