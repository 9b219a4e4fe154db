"""What was found a moment ago, so that who asks often does not cost often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import gevent

Found = TypeVar("Found")


class Recent(Generic[Found]):
    """Looks at something once for all who ask meanwhile, and not again while that is recent.

    `valid_s` says how long, in seconds from the end of the look, by what was found. Errors of
    `look` reach all who waited for it, and are not kept.
    """

    def __init__(
        self,
        look: Callable[[], Found],
        valid_s: Callable[[Found], float],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._valid_s = valid_s
        self._now = now
        self._found: tuple[Found, float] | None = None
        self._looking: gevent.Greenlet | None = None

    def get(self) -> Found:
        """What is there now, or was a moment ago. Whoever stops waiting stops nobody else."""
        if self._found is not None and self._now() < self._found[1]:
            return self._found[0]
        if self._looking is None:
            self._looking = gevent.spawn(self._look_again)
        outcome = self._looking.get()
        if isinstance(outcome, Exception):
            raise outcome
        return cast(Found, outcome)

    def _look_again(self) -> Found | Exception:
        try:
            found = self._look()
            self._found = (found, self._now() + self._valid_s(found))
            return found
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            return error
        finally:
            self._looking = None
