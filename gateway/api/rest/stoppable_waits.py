"""Requests that wait, and do not keep a process that is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

import gevent
from gevent.event import Event

from gateway.errors import GatewayStopping

Value = TypeVar("Value")

_END: Any = object()


class Waiting:
    """Waits for others in the place of requests. What is waited for is done in a greenlet of its
    own, because that one can be ended from outside at any time; a request's own greenlet may be
    in the middle of an answer."""

    def __init__(self) -> None:
        self._stopping = Event()

    @property
    def stopping(self) -> Event:
        """Set from `close` on."""
        return self._stopping

    def close(self) -> None:
        """End every wait, present and future, with GatewayStopping. May be repeated."""
        self._stopping.set()

    def until(self, work: Callable[[], Value]) -> Value:
        """Do `work`, which may block, and give what it returns or raise what it raises.

        Raises GatewayStopping. `work` ends with the wait, however that ends, and has no request
        context.
        """
        attempt = _Attempt(work)
        try:
            self._wait(attempt, None)
            return attempt.outcome()
        finally:
            attempt.end()

    def each(
        self, items: Generator[Value, None, None], *, first_s: float, then_s: float
    ) -> Generator[Value | None, None, None]:
        """The items, and None whenever none has come for `then_s` seconds (`first_s` before the
        first). Raises what `items` does, and GatewayStopping.

        An item is only asked for when the one before it is done with. Owns `items`, and closes
        them when it is closed itself.
        """
        patience_s = first_s
        try:
            while True:
                attempt = _Attempt(lambda: next(items, _END))
                try:
                    while not self._wait(attempt, patience_s):
                        patience_s = then_s
                        yield None
                    item = attempt.outcome()
                finally:
                    attempt.end()
                if item is _END:
                    return
                patience_s = then_s
                yield item
        finally:
            items.close()

    def _wait(self, attempt: _Attempt[Any], patience_s: float | None) -> bool:
        """Whether the attempt comes to its end within `patience_s` seconds."""
        if not attempt.done:
            gevent.wait([attempt.greenlet, self._stopping], timeout=patience_s, count=1)
        if not attempt.done and self._stopping.is_set():
            raise GatewayStopping
        return attempt.done


class _Attempt(Generic[Value]):
    """Some work in a greenlet of its own."""

    def __init__(self, work: Callable[[], Value]) -> None:
        self._work = work
        self._error: Exception | None = None
        self.greenlet = gevent.spawn(self._run)

    def _run(self) -> Value | None:
        try:
            return self._work()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
            return None

    @property
    def done(self) -> bool:
        return bool(self.greenlet.ready())

    def outcome(self) -> Value:
        if self._error is not None:
            raise self._error
        return cast(Value, self.greenlet.value)

    def end(self) -> None:
        self.greenlet.kill()
