"""The client at the other end of a WebSocket: alive or not, told why it ends, closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import gevent
from simple_websocket import ConnectionClosed, Server

from gateway import clock
from gateway.auditing import Trail
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.messages import Texts
from gateway.models import SandboxEnded
from gateway.ws.outbox import Outbox
from gateway.ws.safe_socket import SafeSocket

log = logging.getLogger(__name__)

RECEIVE_S = 5.0
"""simple-websocket may not wake its receiver after a close of its own: look again so often."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011


class Peer:
    """One open WebSocket. `messages` is for one greenlet, the rest for any."""

    def __init__(
        self,
        socket: SafeSocket,
        websocket: Server,
        texts: Texts,
        caller: Caller = ANONYMOUS,
        trail: Trail | None = None,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        self.caller = caller
        self.note = (trail or Trail.nowhere()).note
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
        socket.limit_backlog(lambda: len(websocket.input_buffer))

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
                    yield message
        except (ConnectionClosed, OSError):
            return

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
        silent_s = now - self._socket.last_heard
        if silent_s >= 2 * interval_s:
            self._socket.abort()
        elif silent_s >= interval_s / 2:
            gevent.spawn(self.outbox.ping)
