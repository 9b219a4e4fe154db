"""A sandbox as a client sees it: made over REST, used over a WebSocket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket

TIMEOUT_S = 60


class BenchmarkFailed(Exception):
    """What was to be measured does not work; the text is for people."""


@contextmanager
def sandbox(url: str) -> Iterator[str]:
    """The id of a new sandbox, which is deleted at the end. Raises BenchmarkFailed."""
    try:
        answer = requests.post(f"{url}/sandboxes", timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise BenchmarkFailed(f"no gateway answers at {url}: {error}") from error
    if answer.status_code != 201:
        raise BenchmarkFailed(f"no sandbox could be made: {answer.status_code} {answer.text}")
    sandbox_id: str = answer.json()["sandbox_id"]
    try:
        yield sandbox_id
    finally:
        try:
            requests.delete(f"{url}/sandboxes/{sandbox_id}", timeout=TIMEOUT_S)
        except requests.RequestException:
            pass  # what has gone wrong before is what people want to know


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what the WebSocket client raises into BenchmarkFailed."""
    try:
        yield
    except (websocket.WebSocketException, OSError, ValueError) as error:
        raise BenchmarkFailed(f"the WebSocket broke: {error!r:.500}") from error


class CommandSocket:
    """One WebSocket to a sandbox, one command at a time."""

    def __init__(self, url: str, sandbox_id: str) -> None:
        address = f"ws{url.removeprefix('http')}/ws/{sandbox_id}"
        # A client's own time would count as the gateway's: no Nagle delay, no lock per frame, no
        # check of UTF-8 in a Python loop (0.03 ms of the 0.05 ms that the client took otherwise).
        with _failures():
            self._socket = websocket.create_connection(
                address,
                timeout=TIMEOUT_S,
                sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
                enable_multithread=False,
                skip_utf8_validation=True,
            )

    def run(self, command: str) -> str:
        """The output of a command. Raises BenchmarkFailed unless it succeeds."""
        with _failures():
            return str(self._ask(json.dumps({"command": command}))["output"])

    def time(self, command: str, count: int, **fields: str | bool) -> list[float]:
        """Run `command` so often, one after the other; seconds from request to parsed answer.

        `fields` are further ones of the request.

        Raises BenchmarkFailed unless it succeeds every time.
        """
        request = json.dumps({"command": command, **fields})
        durations = []
        with _failures():
            for _ in range(count):
                started = time.perf_counter()
                self._ask(request)
                durations.append(time.perf_counter() - started)
        return durations

    def _ask(self, request: str) -> dict[str, Any]:
        self._socket.send(request)
        answer: dict[str, Any] = json.loads(self._socket.recv())
        if answer.get("success") is not True:
            raise BenchmarkFailed(f"{request:.200} was answered by {answer!s:.500}")
        return answer

    def close(self) -> None:
        """Close the connection; the sandbox stays."""
        self._socket.close()


class RestCommands:
    """One kept connection on which commands of one sandbox are run over REST, one at a time.

    A bare socket: `http.client` takes 0.2 ms for each answer, which would count as the gateway's.
    """

    def __init__(self, url: str, sandbox_id: str) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        try:
            self._socket = socket.create_connection(address, timeout=TIMEOUT_S)
        except OSError as error:
            raise BenchmarkFailed(f"no gateway answers at {url}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST /sandboxes/{sandbox_id}/commands HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    def time(self, command: str, count: int) -> list[float]:
        """Run `command` so often, one after the other; seconds from request to parsed answer.

        Raises BenchmarkFailed unless it succeeds every time.
        """
        body = json.dumps({"command": command})
        request = f"{self._head}{len(body)}\r\n\r\n{body}".encode()
        durations = []
        for _ in range(count):
            started = time.perf_counter()
            try:
                answer = self._ask(request)
            except (OSError, ValueError, IndexError) as error:
                raise BenchmarkFailed(f"the connection broke: {error!r:.500}") from error
            durations.append(time.perf_counter() - started)
            if answer.get("success") is not True:
                raise BenchmarkFailed(f"{command:.200} was answered by {answer!s:.500}")
        return durations

    def _ask(self, request: bytes) -> dict[str, Any]:
        self._socket.sendall(request)
        received = self._more(b"")
        while b"\r\n\r\n" not in received:
            received = self._more(received)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body = self._more(body)
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _more(self, received: bytes) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise ValueError("the gateway closed it")
        return received + piece

    def close(self) -> None:
        """Close the connection; the sandbox stays."""
        self._socket.close()
