"""Requests that are sent again: when the gateway says so, and when the connection breaks."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

from ..api_error import ApiError, ConnectionLost, GatewayUnreachable
from ..error_codes import BY_CODE
from .steps import Answer, Broken, Call, Pause, Request

TIMEOUT_S = 60.0
"""For how long a request is sent again, all its attempts together."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

_HELD_S = 30.0
"""A connection that has held for so long worked, though nothing came: no attempt takes as long."""

NOT_BEGUN = frozenset({"capacity_exhausted", "gateway_full", "disk_full", "store_unavailable"})
"""Codes of 503 that say that nothing was done."""


class Retrying:
    """Sends requests. One for a gateway: it knows whether that was ever reached.

    429 is repeated as `Retry-After` says, and so is 503 where the request may be carried out twice.
    A connection that breaks is made again, unless the gateway was never reached: then it is an
    address where nobody is.
    """

    def __init__(
        self,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.timeout_s = timeout_s
        self.clock = clock
        self.was_reached = False
        self._jitter = jitter

    def exchange(self, request: Request, *, deadline: float | None = None) -> Call[Answer]:
        """The answer, with a status below 300: no gateway redirects. Raises ApiError,
        GatewayUnreachable, ConnectionLost. `deadline` is on `clock`."""
        end = self.clock() + self.timeout_s if deadline is None else deadline
        attempt = 0
        is_uncertain = False
        is_once = request.body is not None and request.body.is_once
        while True:
            try:
                answer: Answer = yield request
            except Broken as broken:
                failure: Exception = self._failure(broken)
                may_repeat = self.was_reached and (
                    not broken.may_have_arrived or (request.is_repeatable and not is_once)
                )
                is_uncertain |= broken.may_have_arrived
                pause_s = self.backoff_s(attempt)
            else:
                self.was_reached = True
                if answer.status < 300:
                    return answer
                error = error_of(answer)
                error.is_uncertain = is_uncertain
                failure = error
                may_repeat = not is_once and _may_repeat(request, error)
                is_uncertain |= answer.status >= 500
                pause_s = max(error.retry_after_s or 0.0, self.backoff_s(attempt))
            if not may_repeat or self.clock() + pause_s > end:
                raise failure from None
            attempt += 1
            yield Pause(pause_s)

    def backoff_s(self, attempt: int) -> float:
        """Longer each time, and not the same for all who were refused together."""
        longest_s = min(_FIRST_PAUSE_S * 2.0 ** min(attempt, 16), _LONGEST_PAUSE_S)
        return longest_s * (0.75 + 0.5 * self._jitter())

    def _failure(self, broken: Broken) -> Exception:
        if broken.may_have_arrived or self.was_reached:
            return ConnectionLost(f"the connection to the gateway broke: {broken}")
        return GatewayUnreachable(f"the gateway cannot be reached: {broken}")


class Patience:
    """How long a connection that breaks again and again is made anew."""

    def __init__(self, retrying: Retrying) -> None:
        self._retrying = retrying
        self._since: float | None = None
        self._last = 0.0
        self._attempt = 0

    def worked(self) -> None:
        """Something has come."""
        self._since, self._attempt = None, 0

    def failed(self, error: Exception) -> float:
        """How many seconds to wait now. Raises `error` when nothing has worked for the timeout."""
        now = self._retrying.clock()
        if now - self._last > _HELD_S:
            self.worked()
        self._last = now
        self._since = now if self._since is None else self._since
        if now - self._since > self._retrying.timeout_s:
            raise error
        self._attempt += 1
        return self._retrying.backoff_s(self._attempt - 1)


def _may_repeat(request: Request, error: ApiError) -> bool:
    if error.status == 429:
        return error.retry_after_s is not None
    return error.status == 503 and (request.is_repeatable or error.code in NOT_BEGUN)


def error_of(answer: Answer) -> ApiError:
    """The problem document of an answer as an exception; a proxy's page too."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        said = answer.body[:200].decode("utf-8", "replace").strip()
        found = {"message": f"HTTP {answer.status} {said}".strip(), "code": f"http_{answer.status}"}
    return error_from(found, status=answer.status, retry_after_s=_retry_after_s(answer))


def error_from(
    problem: dict[str, Any], *, status: int | None = None, retry_after_s: float | None = None
) -> ApiError:
    """By its `code`; one that this client does not know is an ApiError."""
    kind = BY_CODE.get(str(problem.get("code")), ApiError)
    return kind(problem, status=status, retry_after_s=retry_after_s)


def _retry_after_s(answer: Answer) -> float | None:
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None  # a date is not what this gateway sends
