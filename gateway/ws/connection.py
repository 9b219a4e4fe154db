"""One client on a WebSocket: its requests in, its results out."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import AbstractContextManager
from typing import Protocol

import gevent
from gevent.pool import Group
from simple_websocket import ConnectionClosed, Server

from gateway.errors import GatewayError, HostFault, RequestIdInUse, TooManyCommands
from gateway.messages import Texts
from gateway.models import CommandRequest, CommandResult, SandboxEnded, SocketError
from gateway.ws import frames
from gateway.ws.frames import UnreadableRequest
from gateway.ws.safe_socket import SafeSocket

log = logging.getLogger(__name__)

MAX_RUNNING = 128
"""Commands of one connection that run at a time; more wait their turn."""

MAX_WAITING = 4096
MAX_WAITING_CHARACTERS = 16 * 1024 * 1024

RECEIVE_S = 5.0
"""simple-websocket may not wake its receiver after a close of its own: look again so often."""

GOING_AWAY = 1001
INTERNAL_ERROR = 1011


class CommandRunner(Protocol):
    """Runs one command; the result counts against a memory budget while the block is open."""

    def run(
        self, container_id: str, command: str, request_id: str
    ) -> AbstractContextManager[CommandResult]: ...


class Connection:
    """Serves one client until it leaves, or until `close` is called from another greenlet."""

    def __init__(
        self,
        socket: SafeSocket,
        websocket: Server,
        container_id: str,
        commands: CommandRunner,
        texts: Texts,
    ) -> None:
        self._socket = socket
        self._websocket = websocket
        self._container_id = container_id
        self._commands = commands
        self._texts = texts
        self._ids: set[str] = set()
        self._running = Group()
        self._waiting: deque[tuple[str, CommandRequest]] = deque()
        self._waiting_characters = 0
        socket.limit_backlog(lambda: len(websocket.input_buffer))

    def serve(self) -> bool:
        """Take requests until the connection ends; whether commands were still running then."""
        try:
            while True:
                message = self._websocket.receive(timeout=RECEIVE_S)
                self._socket.consumed()
                if message is not None:
                    self._take(message)
        except (ConnectionClosed, OSError):
            pass
        except Exception:
            log.exception("serving a WebSocket failed")
            self.close(INTERNAL_ERROR)
        had_running = len(self._running) > 0
        self._waiting.clear()
        self._running.kill()
        return had_running

    def _take(self, message: str | bytes) -> None:
        try:
            request_id, request = frames.parse_request(message)
        except UnreadableRequest as error:
            self._send_error(error, error.request_id)
            return
        size = len(request.command)
        if request_id in self._ids:
            self._send_error(RequestIdInUse(), request_id)
        elif len(self._running) < MAX_RUNNING:
            self._start(request_id, request)
        elif (
            len(self._waiting) >= MAX_WAITING
            or self._waiting_characters + size > MAX_WAITING_CHARACTERS
        ):
            self._send_error(TooManyCommands(), request_id)
        else:
            self._ids.add(request_id)
            self._waiting.append((request_id, request))
            self._waiting_characters += size

    def _start(self, request_id: str, request: CommandRequest) -> None:
        self._ids.add(request_id)
        self._running.spawn(self._run, request_id, request)

    def _run(self, request_id: str, request: CommandRequest) -> None:
        try:
            with self._commands.run(self._container_id, request.command, request_id) as result:
                self._ids.discard(request_id)
                payload = frames.encode_message(result)
                del result
                self._socket.send_frame(frames.TEXT, payload)
        except GatewayError as error:
            self._ids.discard(request_id)
            self._send_error(error, request_id)
        except OSError:
            self._wake()  # the client is gone: so will the connection be
        except Exception as error:
            log.exception("running a command failed")
            self._ids.discard(request_id)
            self._send_error(GatewayError(type(error).__name__), request_id)
        self._start_next()

    def _start_next(self) -> None:
        if self._waiting and self._websocket.connected:
            request_id, request = self._waiting.popleft()
            self._waiting_characters -= len(request.command)
            self._start(request_id, request)

    def _send_error(self, error: GatewayError, request_id: str | None) -> None:
        detail = error.detail
        if isinstance(error, HostFault):
            # What the engine says names images, paths and addresses of the host.
            log.warning("a command could not be run: %s: %s", error.code, error)
            detail = ""
        message = SocketError(
            type="error",
            code=error.code,
            message=self._texts.localised(error),
            detail=detail,
            request_id=request_id,
        )
        try:
            self._socket.send_frame(frames.TEXT, frames.encode_message(message))
        except OSError:
            self._wake()

    def end(self, reason: str) -> None:
        """The sandbox went away: say why, and close."""
        try:
            payload = frames.encode_message(SandboxEnded(type="ended", reason=reason))
            self._socket.send_frame(frames.TEXT, payload)
        except OSError:
            pass  # it has ended for this client already
        self.close(GOING_AWAY)

    def close(self, code: int) -> None:
        """Send the close frame; `serve` returns soon. May be repeated."""
        self._socket.seal()
        try:
            self._websocket.close(code)
        except (ConnectionClosed, OSError):
            pass
        except Exception:
            log.exception("closing a WebSocket failed")
        self._wake()

    def _wake(self) -> None:
        """Make `serve` look whether the connection still stands."""
        self._websocket.event.set()

    def keep_alive(self, *, now: float, interval_s: float) -> None:
        """Ping a silent client; give up one that was silent for two intervals. Does not block."""
        silent_s = now - self._socket.last_heard
        if silent_s >= 2 * interval_s:
            self._socket.abort()
        elif silent_s >= interval_s / 2:
            gevent.spawn(self._ping)

    def _ping(self) -> None:
        try:
            self._socket.send_frame(frames.PING, b"")
        except OSError:
            self._wake()
