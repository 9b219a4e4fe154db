"""An answer that is a stream: its messages as they come, keep-alives between them, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
import orjson
from gevent.event import Event

from gateway.api.e2b.client_socket import ClientSocket
from gateway.api.e2b.envelopes import END, enveloped
from gateway.api.e2b.rpc_errors import SANDBOX_ENDED, TIME_IS_UP, RpcError, rpc_error_of
from gateway.api.e2b.rpc_requests import Call
from gateway.errors import SandboxNotFound
from gateway.process.time_shares import wait_for_share

Message = dict[str, Any]


@dataclass(frozen=True)
class Last:
    """The last message of a stream. Its end is written along with it."""

    message: Message


Messages = Generator[Message | bytes | Last | None, None, None]
"""What a stream tells: messages, or envelopes that are made already; None is passed over."""

WATCHED_AFTER_S = 0.05
"""How long the next message is waited for before it is looked whether the client hangs up. Short
calls are over by then."""

STALL_S = 24 * 3600.0
"""How long a client may leave what is written unread. A handle of these clients reads only when its
program asks it; and what waits for it here is bounded, as the number of streams is."""

STOPPING = "the gateway is being restarted: connect again"


class Stopping(Protocol):
    """Is set when this process ends: see `gevent.event.Event`."""

    def is_set(self) -> bool: ...

    def rawlink(self, callback: Callable[[Any], None]) -> None: ...

    def unlink(self, callback: Callable[[Any], None]) -> None: ...


class Stream:
    """Iterate over it, once, for the bytes of the answer's body, and close it.

    `messages` are asked for the next one when the one before was written, so a client that reads
    slowly holds them back; they run in a greenlet of their own, and are closed at the end however
    that comes. `keepalive` is sent whenever `call.keepalive_s` seconds were silent. The deadline of
    `call` ends the stream, and so does a client that hangs up. `client` may be unknown.
    """

    def __init__(
        self,
        call: Call,
        messages: Messages,
        keepalive: Message,
        stopping: Stopping,
        client: ClientSocket,
    ) -> None:
        self._call = call
        self._messages = messages
        self._keepalive = enveloped(orjson.dumps(keepalive))
        self._stopping = stopping
        self._client = client
        self._changed = Event()
        self._wanted = Event()
        self._item: Message | bytes | Last | None = None
        self._is_ready = False
        self._is_over = False
        self._error: Exception | None = None
        self._telling: gevent.Greenlet | None = None
        self._ending: RpcError | None = None
        self._has_told = False

    def __iter__(self) -> Iterator[bytes]:
        self._telling = gevent.spawn(self._tell)
        self._stopping.rawlink(self._wake)
        with self._client.may_stall(STALL_S):
            yield from self._pieces()

    def end(self, error: RpcError) -> None:
        """Let it end with an error, as soon as what is being written is. Does not block."""
        self._ending = self._ending or error
        self._changed.set()

    def close(self) -> None:
        """End what tells the messages. May be repeated."""
        self._stopping.unlink(self._wake)
        self._client.unwatch()
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.kill()
        self._messages.close()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            try:
                is_there = self._wait()
            except RpcError as error:
                yield _end(error)
                return
            if self._client.has_left:
                return
            if not is_there:
                yield self._keepalive
            elif self._is_over:
                yield _end(None if self._error is None else self._rpc_error(self._error))
                return
            else:
                item, self._item, self._is_ready = self._item, None, False
                if isinstance(item, Last):
                    yield _envelope(item.message) + _end(None)
                    return
                if item is not None:
                    wait_for_share()
                    yield _envelope(item)
                    self._has_told = True
                self._wanted.set()

    def _wait(self) -> bool:
        """Whether there is something to tell, within the time of a keep-alive. Raises RpcError at
        the deadline, and when this process ends."""
        silent_until = time.monotonic() + self._call.keepalive_s
        watch_at = time.monotonic() + WATCHED_AFTER_S
        while not (self._is_ready or self._is_over):
            if self._ending is not None:
                raise self._ending
            if self._stopping.is_set():
                raise RpcError("unavailable", STOPPING)
            if self._client.has_left:
                return False
            left_s = self._call.left_s()
            if left_s is not None and left_s <= 0:
                raise RpcError("deadline_exceeded", TIME_IS_UP)
            now = time.monotonic()
            if now >= silent_until:
                return False
            if now >= watch_at:
                self._client.watch(self._changed.set)
            until_s = min(silent_until, watch_at if now < watch_at else silent_until) - now
            self._changed.clear()
            self._changed.wait(until_s if left_s is None else min(until_s, left_s))
        return True

    def _rpc_error(self, error: Exception) -> RpcError:
        if isinstance(error, SandboxNotFound) and self._has_told:
            return RpcError("unavailable", SANDBOX_ENDED)
        return rpc_error_of(error)

    def _wake(self, _stopping: object) -> None:
        self._changed.set()

    def _tell(self) -> None:
        try:
            for item in self._messages:
                self._item, self._is_ready = item, True
                self._changed.set()
                self._wanted.wait()
                self._wanted.clear()
        except Exception as error:  # noqa: BLE001 - told to the client by whoever waits
            self._error = error
        self._is_over = True
        self._changed.set()


def _envelope(item: Message | bytes) -> bytes:
    return item if isinstance(item, bytes) else enveloped(orjson.dumps(item))


def _end(error: RpcError | None) -> bytes:
    said = {} if error is None else {"error": error.said}
    return enveloped(orjson.dumps(said), END)
