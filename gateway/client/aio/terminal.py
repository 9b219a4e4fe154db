"""A terminal in a sandbox, for asyncio."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from httpx2.websockets import (
    AsyncWebSocketSession,
    WebSocketDisconnect,
    WebSocketNetworkError,
    WebSocketUpgradeError,
)

from ..api_error import ConnectionLost, GatewayUnreachable
from ..core import socket_messages
from ..core.followed_command import FollowedCommand
from ..core.retrying import Patience, error_of
from ..core.steps import Answer
from ..models.commands import CommandResult, OutputGap, OutputPiece
from ..sync.httpx_driver import is_before_arrival
from .driver import AsyncDriver

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncTerminal:
    """A terminal and what runs in it. Use it and close it in one task, which reads; any may write.

    Over connections that break it is the same terminal: each byte comes once. What is written while
    there is no connection is lost, with ConnectionLost.
    """

    def __init__(
        self,
        driver: AsyncDriver,
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
        self._socket: AsyncWebSocketSession | None = None
        self._held = AsyncExitStack()
        self._patience = Patience(driver.retrying)

    @property
    def request_id(self) -> str:
        """Its name: whoever gives it too shares the terminal."""
        return self._followed.request_id

    @property
    def result(self) -> CommandResult | None:
        """Once what runs in it has ended."""
        return self._followed.result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave it. What runs in it goes on. May be repeated."""
        self._socket = None
        await self._held.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def read(self, timeout: float | None = None) -> bytes:
        """The next bytes; empty when what runs in it has ended: then there is a `result`. Raises
        TimeoutError after `timeout` seconds, ApiError, ConnectionLost."""
        with anyio.fail_after(timeout):
            while self._followed.result is None:
                try:
                    if self._socket is None:
                        await self.connect()
                    assert self._socket is not None
                    told = self._followed.take(json.loads(await self._socket.receive_text()))
                except (ConnectionLost, WebSocketDisconnect, WebSocketNetworkError):
                    await self.aclose()
                    await anyio.sleep(self._patience.failed(self._followed.last_error))
                    continue
                if self._followed.is_to_be_attached_again:
                    await self.aclose()
                    await anyio.sleep(self._patience.failed(self._followed.last_error))
                elif told is not None:
                    self._patience.worked()
                if isinstance(told, OutputPiece):
                    return told.data
                if isinstance(told, OutputGap):
                    return socket_messages.gap_text(told)
        return b""

    async def write(self, data: bytes | str) -> None:
        """Keys, as they are typed. Raises ConnectionLost."""
        sent = data.encode() if isinstance(data, str) else data
        for message in socket_messages.inputs(self.request_id, sent):
            await self._send(message)

    async def resize(self, cols: int, rows: int) -> None:
        """Tell the size of the screen."""
        self._size = (cols, rows)
        await self._send(socket_messages.resize(self.request_id, (cols, rows)))

    async def signal(self, name: str) -> None:
        """To all that runs in it."""
        await self._send({"type": "signal", "request_id": self.request_id, "signal": name})

    # --- its connection --------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self.result is not None:
            return
        if self._socket is None:
            raise ConnectionLost("the connection to the gateway broke")
        try:
            await self._socket.send_text(json.dumps(message))
        except (WebSocketNetworkError, WebSocketDisconnect) as error:
            raise ConnectionLost("the connection to the gateway broke") from error

    async def connect(self) -> None:
        """Called by whoever makes it. Raises ApiError, ConnectionLost, GatewayUnreachable."""
        address = self._driver.address
        self._held = held = AsyncExitStack()
        try:
            socket = await held.enter_async_context(
                self._driver.http.websocket(
                    f"{address.websocket_url}/ws/{self._id}",
                    max_message_size_bytes=socket_messages.LONGEST_MESSAGE_BYTES,
                )
            )
        except WebSocketUpgradeError as error:
            raise await self._refusal(error.response) from None
        except httpx2.TransportError as error:
            await held.aclose()
            reason = str(error) or type(error).__name__
            if is_before_arrival(error) and not self._driver.retrying.was_reached:
                raise GatewayUnreachable(f"the gateway cannot be reached: {reason}") from None
            raise ConnectionLost(f"the connection to the gateway broke: {reason}") from None
        self._driver.retrying.was_reached = True
        await socket.send_text(json.dumps(self._followed.attach_message()))
        if self._followed.has_started:
            await socket.send_text(json.dumps(socket_messages.resize(self.request_id, self._size)))
        self._socket = socket

    async def _refusal(self, response: httpx2.Response) -> Exception:
        try:
            body = await response.aread()
        except (httpx2.TransportError, httpx2.StreamError):
            body = b""
        headers = {name.lower(): value for name, value in response.headers.items()}
        error = error_of(Answer(response.status_code, headers, body))
        if response.status_code in (429, 502, 503):
            return ConnectionLost(str(error))
        return error
