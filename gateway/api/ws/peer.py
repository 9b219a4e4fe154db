"""The client at the other end of a WebSocket: alive or not, told why it ends, closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import getsizeof

import gevent
from simple_websocket import ConnectionClosed, Server

from gateway import clock
from gateway.api.ws.outbox import Outbox
from gateway.api.ws.safe_socket import BACKLOG, SafeSocket
from gateway.errors import GatewayError
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.logs.line_budget import bounded_log
from gateway.middleware.audit import AuditContext
from gateway.middleware.language import Texts
from gateway.process.byte_budget import Holding
from gateway.schemas.models import SandboxEnded, SandboxRestored

log = bounded_log(__name__)

RECEIVE_S = 5.0
"""simple-websocket may not wake its receiver after a close of its own: look again so often."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011


TRY_AGAIN_LATER = 1013

BACKLOG_BYTES = 256 * 1024
"""Of messages that wait for the handler; more are not read from the socket."""

UNCOUNTED_BYTES = 16 * 1024
"""Of what a client has sent and is not done with: every connection may have so much."""

COUNTED_AT_ONCE = 64 * 1024


class Peer:
    """One open WebSocket. `messages` is for one greenlet, the rest for any."""

    def __init__(
        self,
        socket: SafeSocket,
        websocket: Server,
        texts: Texts,
        caller: Caller = ANONYMOUS,
        audit_context: AuditContext | None = None,
        count: Callable[[], None] = lambda: None,
        held: Holding | None = None,
    ) -> None:
        self.caller = caller
        self.note = (audit_context or AuditContext.nowhere()).note
        """What the client does, for the audit log."""
        self.count = count
        """Counts what the client asks for. Raises RateLimited when it is one too many."""
        self._socket = socket
        self._websocket = websocket
        self.before_end: Callable[[], None] = lambda: None
        """Called when the sandbox has gone, before the client is told."""
        self.asked_at = 0.0
        """Boot time at which the client last asked for something that its sandbox must do."""
        self.outbox = Outbox(socket, texts, on_gone=self.wake)
        self._pinged_at = 0.0
        """Monotonic time of the first ping after the client was last heard, if there was one."""
        self._received = held
        self._in_hand = 0
        socket.limit_backlog(self._backlog)
        if held is not None:
            socket.before_reading(self._make_room)

    @property
    def connected(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return bool(self._websocket.connected)

    def asks(self) -> None:
        """The client has asked for something that its sandbox must do."""
        self.asked_at = clock.boot_s()

    def messages(self) -> Iterator[str | bytes]:
        """What the client sends, until the connection ends in whatever way."""
        try:
            while True:
                message = self._websocket.receive(timeout=RECEIVE_S)
                self._socket.consumed()
                if message is not None:
                    self._in_hand = getsizeof(message)
                    yield message
                    self._in_hand = 0
                    self._give_room_back()
        except (ConnectionClosed, OSError):
            return

    def _backlog(self) -> int:
        waiting = self._websocket.input_buffer
        size = sum(map(getsizeof, waiting))
        return len(waiting) if size <= BACKLOG_BYTES else max(len(waiting), BACKLOG + 1)

    def _unfinished(self) -> int:
        """Bytes that have come and that the handler has not done with; a multiple of
        COUNTED_AT_ONCE, and nothing where it is little."""
        websocket = self._websocket
        size = (
            self._in_hand
            + sum(map(getsizeof, websocket.input_buffer))
            + getsizeof(websocket.incoming_message or b"")
        )
        return 0 if size <= UNCOUNTED_BYTES else -(-size // COUNTED_AT_ONCE) * COUNTED_AT_ONCE

    def _make_room(self) -> None:
        """Before more is read: count what has come. Waits while the owner's share is used up, and
        gives the client up when that lasts."""
        self._give_room_back()
        held = self._received
        if held is None or (missing := self._unfinished() - held.size) <= 0:
            return
        try:
            held.take(missing)
        except GatewayError:
            gevent.spawn(self.close, TRY_AGAIN_LATER)
            raise ConnectionAbortedError("no room for what the client sends") from None

    def _give_room_back(self) -> None:
        held = self._received
        if held is not None and (surplus := held.size - self._unfinished()) > 0:
            held.give_back(surplus)

    def tell_restored(self, snapshot_id: str) -> None:
        """The sandbox was brought back to a snapshot."""
        self.outbox.send_message(SandboxRestored(type="restored", snapshot_id=snapshot_id))

    def end(self, reason: str) -> None:
        """The sandbox went away: say why, and close."""
        self.before_end()
        self.outbox.send_message(SandboxEnded(type="ended", reason=reason))
        self.close(GOING_AWAY)

    def close(self, code: int) -> None:
        """Send the close frame; `messages` ends soon. May be repeated."""
        self._socket.seal()
        try:
            self._websocket.close(code)
        except (ConnectionClosed, OSError):
            pass
        except Exception:
            log.exception("closing a WebSocket failed")
        self.wake()

    def wake(self) -> None:
        """Make `messages` look whether the connection still stands."""
        self._websocket.event.set()

    def keep_alive(self, *, now: float, interval_s: float) -> None:
        """Ping a silent client; give up one that was silent for two intervals. Does not block."""
        self._socket.notice_life()
        silent_s = now - self._socket.last_heard
        if silent_s < interval_s / 2:
            return
        if self._pinged_at <= self._socket.last_heard:
            self._pinged_at = now
        elif silent_s >= 2 * interval_s and now - self._pinged_at >= interval_s:
            self._socket.abort()
            return
        gevent.spawn(self.outbox.ping)
