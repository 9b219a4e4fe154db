"""A terminal in a sandbox."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2
from httpx2.websockets import (
    WebSocketDisconnect,
    WebSocketNetworkError,
    WebSocketSession,
    WebSocketUpgradeError,
)

from ..api_error import ConnectionLost, GatewayUnreachable
from ..core import socket_messages
from ..core.followed_command import FollowedCommand
from ..core.retrying import Patience, error_of
from ..core.steps import Answer
from ..models.commands import CommandResult, OutputGap, OutputPiece
from .driver import Driver
from .httpx_driver import is_before_arrival

if TYPE_CHECKING:
    from typing_extensions import Self


class Terminal:
    """A terminal and what runs in it. One thread reads, any may write.

    Over connections that break it is the same terminal: each byte comes once. What is written while
    there is no connection waits for the next one; keys that were on their way when it broke may be
    lost, for nobody says that they arrived.
    """

    def __init__(
        self,
        driver: Driver,
        sandbox_id: str,
        start: dict[str, Any],
        size: tuple[int, int],
        *,
        is_there: bool = False,
    ) -> None:
        self._driver = driver
        self._id = sandbox_id
        self._followed = FollowedCommand(
            driver.retrying, sandbox_id, start["request_id"], None if is_there else start
        )
        self._size = size
        self._socket: WebSocketSession | None = None
        self._held = ExitStack()
        self._changed = threading.Condition()
        self._is_closed = False
        self._patience = Patience(driver.retrying)
        self._connect()
        if is_there:
            self.resize(*size)

    @property
    def request_id(self) -> str:
        """Its name: whoever gives it too shares the terminal."""
        return self._followed.request_id

    @property
    def result(self) -> CommandResult | None:
        """Once what runs in it has ended."""
        return self._followed.result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave it. What runs in it goes on. May be repeated."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._drop()

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data

    def read(self, timeout: float | None = None) -> bytes:
        """The next bytes; empty when what runs in it has ended: then there is a `result`. Raises
        TimeoutError after `timeout` seconds, ApiError, ConnectionLost."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._followed.result is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                if self._socket is None:
                    self._connect()
                assert self._socket is not None
                told = self._followed.take(json.loads(self._socket.receive_text(left)))
            except (ConnectionLost, WebSocketDisconnect, WebSocketNetworkError):
                self._drop()
                self._wait_before_the_next()
                continue
            if self._followed.is_to_be_attached_again:
                self._drop()
                self._wait_before_the_next()
            elif told is not None:
                self._patience.worked()
            if isinstance(told, OutputPiece):
                return told.data
            if isinstance(told, OutputGap):
                return socket_messages.gap_text(told)
        return b""

    def write(self, data: bytes | str) -> None:
        """Keys, as they are typed. Raises ConnectionLost."""
        sent = data.encode() if isinstance(data, str) else data
        for message in socket_messages.inputs(self.request_id, sent):
            self._send(message)

    def resize(self, cols: int, rows: int) -> None:
        """Tell the size of the screen."""
        self._size = (cols, rows)
        self._send(socket_messages.resize(self.request_id, (cols, rows)))

    def signal(self, name: str) -> None:
        """To all that runs in it."""
        self._send({"type": "signal", "request_id": self.request_id, "signal": name})

    # --- its connection --------------------------------------------------------------------------

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._changed:
            is_there = self._changed.wait_for(
                lambda: self._socket is not None or self._is_closed or self.result is not None,
                self._driver.retrying.timeout_s,
            )
            socket = self._socket
        if self.result is not None or self._is_closed:
            return
        if not is_there or socket is None:
            raise ConnectionLost("the connection to the gateway broke")
        try:
            socket.send_text(json.dumps(message))
        except (WebSocketNetworkError, WebSocketDisconnect):
            pass  # whoever reads makes it again

    def _drop(self) -> None:
        with self._changed:
            self._socket = None
        self._held.close()

    def _wait_before_the_next(self) -> None:
        error = self._followed.last_error
        if self._is_closed:
            raise error
        time.sleep(self._patience.failed(error))

    def _connect(self) -> None:
        """Raises ApiError, ConnectionLost, GatewayUnreachable."""
        address = self._driver.address
        self._held = held = ExitStack()
        try:
            socket = held.enter_context(
                self._driver.http.websocket(
                    f"{address.websocket_url}/ws/{self._id}",
                    max_message_size_bytes=socket_messages.LONGEST_MESSAGE_BYTES,
                )
            )
        except WebSocketUpgradeError as error:
            raise self._refusal(error.response) from None
        except httpx2.TransportError as error:
            held.close()
            reason = str(error) or type(error).__name__
            if is_before_arrival(error) and not self._driver.retrying.was_reached:
                raise GatewayUnreachable(f"the gateway cannot be reached: {reason}") from None
            raise ConnectionLost(f"the connection to the gateway broke: {reason}") from None
        self._driver.retrying.was_reached = True
        socket.send_text(json.dumps(self._followed.attach_message()))
        if self._followed.has_started:
            socket.send_text(json.dumps(socket_messages.resize(self.request_id, self._size)))
        with self._changed:
            self._socket = socket
            self._changed.notify_all()

    def _refusal(self, response: httpx2.Response) -> Exception:
        try:
            body = response.read()
        except (httpx2.TransportError, httpx2.StreamError):
            body = b""
        headers = {name.lower(): value for name, value in response.headers.items()}
        error = error_of(Answer(response.status_code, headers, body))
        if response.status_code in (429, 502, 503):
            return ConnectionLost(str(error))
        return error
