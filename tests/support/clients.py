"""Foreign WebSocket clients: two libraries behind one small interface."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any, Protocol

import websocket
import websockets
from websockets.sync.client import connect as websockets_connect

from tests.support.gateway_process import GatewayProcess

WITHIN_S = 30.0


class Refused(Exception):
    """The handshake was answered with an HTTP status other than 101."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body


class Closed(Exception):
    """The connection is closed; `code` is None when the peer gave none."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client(Protocol):
    """One connection to `/ws/{sandbox_id}`."""

    def send_text(self, text: str) -> None: ...

    def send_binary(self, data: bytes) -> None: ...

    def receive_text(self, within_s: float = WITHIN_S) -> str:
        """The next text frame. Raises Closed, TimeoutError."""

    def close(self) -> None: ...


class Connection:
    """Talks JSON over either library."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def ask(self, command: str, **fields: Any) -> None:
        """Send a request."""
        self.send({"command": command, **fields})

    def send(self, message: object) -> None:
        self.client.send_text(json.dumps(message))

    def receive(self, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The next message."""
        return json.loads(self.client.receive_text(within_s))

    def run(self, command: str, within_s: float = WITHIN_S, **fields: Any) -> dict[str, Any]:
        """Send a request and take the next message for its answer."""
        self.ask(command, **fields)
        return self.receive(within_s)

    def output_of(self, command: str, within_s: float = WITHIN_S) -> str:
        """What a command that must succeed prints."""
        result = self.run(command, within_s)
        assert result.get("returncode") == 0, result
        return result["output"]

    def read_to_close(self, within_s: float = WITHIN_S) -> tuple[list[dict[str, Any]], int | None]:
        """Every message that still comes, and the close code."""
        messages = []
        deadline = time.monotonic() + within_s
        while True:
            try:
                messages.append(self.receive(max(0.01, deadline - time.monotonic())))
            except Closed as closed:
                return messages, closed.code

    def close(self) -> None:
        """May be repeated."""
        _open.discard(self)
        self.client.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ByWebSocketClient:
    """The library `websocket-client`."""

    def __init__(self, url: str, **options: Any) -> None:
        try:
            # The library looks at each byte in Python; what is decoded below is looked at in C.
            self.socket = websocket.create_connection(
                url, timeout=WITHIN_S, skip_utf8_validation=True, **options
            )
        except websocket.WebSocketBadStatusException as error:
            raise Refused(
                error.status_code, error.resp_headers or {}, error.resp_body or b""
            ) from None

    def send_text(self, text: str) -> None:
        self.socket.send(text)

    def send_binary(self, data: bytes) -> None:
        self.socket.send_binary(data)

    def receive_text(self, within_s: float = WITHIN_S) -> str:
        self.socket.settimeout(within_s)
        started = time.monotonic()
        try:
            opcode, data = self.socket.recv_data()
        except websocket.WebSocketTimeoutException:
            raise TimeoutError(f"nothing came within {within_s:g} s") from None
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            raise Closed(None) from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.socket.shutdown()
            data[2:].decode("utf-8")
            raise Closed(int.from_bytes(data[:2], "big") if len(data) >= 2 else None)
        assert opcode == websocket.ABNF.OPCODE_TEXT, opcode
        # The library's limit is for each read, and pings are read as well.
        took_s = time.monotonic() - started
        assert took_s < within_s + 1, f"it came after {took_s:.1f} s"
        return data.decode("utf-8")

    def close(self) -> None:
        self.socket.close(timeout=5)


class ByWebsockets:
    """The library `websockets`."""

    def __init__(self, url: str, **options: Any) -> None:
        settings = {"max_size": None, "open_timeout": WITHIN_S, "close_timeout": 5, "proxy": None}
        self._open = ExitStack()
        try:
            self.socket = self._open.enter_context(websockets_connect(url, **(settings | options)))
        except websockets.exceptions.InvalidStatus as error:
            response = error.response
            raise Refused(
                response.status_code, dict(response.headers.raw_items()), response.body or b""
            ) from None

    def send_text(self, text: str) -> None:
        self.socket.send(text)

    def send_binary(self, data: bytes) -> None:
        self.socket.send(data)

    def receive_text(self, within_s: float = WITHIN_S) -> str:
        try:
            message = self.socket.recv(timeout=within_s)
        except websockets.exceptions.ConnectionClosed as error:
            raise Closed(error.rcvd.code if error.rcvd else None) from None
        assert isinstance(message, str), "a binary frame"
        return message

    def close(self) -> None:
        self._open.close()


LIBRARIES: dict[str, type[ByWebSocketClient] | type[ByWebsockets]] = {
    "websocket-client": ByWebSocketClient,
    "websockets": ByWebsockets,
}


def connect(
    gateway: GatewayProcess, sandbox_id: str, library: str = "websocket-client", **options: Any
) -> Connection:
    """Open `/ws/{sandbox_id}`. Raises Refused. Who does not close it leaves that to the end of
    the test. The gateway's own headers are sent unless there are others, or subprotocols."""
    name = "additional_headers" if library == "websockets" else "header"
    if gateway.headers and not {name, "subprotocols"} & {*options}:
        options[name] = gateway.headers
    connection = Connection(LIBRARIES[library](gateway.websocket_url(sandbox_id), **options))
    _open.add(connection)
    return connection


_open: set[Connection] = set()


def close_all() -> None:
    """Close the connections that are still open."""
    for connection in list(_open):
        connection.close()
