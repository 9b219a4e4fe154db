"""The clients of `crowd`, in a process of their own: what they take is not the gateway's."""

from __future__ import annotations

import base64
import multiprocessing
import os
import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket

CONNECT_S = 300.0
"""How long all of them may take to connect."""

_PING, _PONG = 0x89, 0x8A


class Crowd:
    """The clients, seen from the process that measures."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.connected_after_s = self._answer(CONNECT_S)
        """Seconds that the idle ones took to connect."""

    def begin_to_work(self) -> None:
        """The active clients connect, and run a command every now and then."""
        self._pipe.send("work")
        self._answer(TIMEOUT_S)

    def stop(self) -> int:
        """How many commands the active clients ran. Raises BenchmarkFailed when a client was cut
        off."""
        self._pipe.send("stop")
        return int(self._answer(TIMEOUT_S))

    def _answer(self, limit_s: float) -> float:
        if not self._pipe.poll(limit_s):
            raise BenchmarkFailed("the crowd of clients does not answer")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise BenchmarkFailed(answer)
        return float(answer)


@contextmanager
def crowd(url: str, ids: list[str], idle: int, active: int, pause_s: float) -> Iterator[Crowd]:
    """Once the idle ones are connected. `pause_s` is between the commands of an active client.

    Raises BenchmarkFailed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, url, ids, idle, active, pause_s))
    process.start()
    try:
        yield Crowd(ours)
    finally:
        process.kill()
        process.join()


def _serve(
    pipe: Connection, url: str, ids: list[str], idle: int, active: int, pause_s: float
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as held:
            started = time.monotonic()
            idlers = _Idlers()
            threading.Thread(target=idlers.answer_pings, daemon=True).start()
            for number in range(idle):
                idlers.add(held.enter_context(closing(_connected(url, ids[number % len(ids)]))))
            pipe.send(time.monotonic() - started)
            pipe.recv()
            workers = [_Worker(url, ids[number % len(ids)], pause_s) for number in range(active)]
            pipe.send(0.0)
            pipe.recv()
            count = sum(worker.stop() for worker in workers)
            if idlers.lost:
                raise BenchmarkFailed(f"{idlers.lost} idle clients were cut off")
            pipe.send(float(count))
    except (BenchmarkFailed, OSError) as error:
        pipe.send(str(error))


def _connected(url: str, sandbox_id: str) -> socket.socket:
    """A bare socket that has done its handshake: no library's memory counts."""
    address = urlsplit(url)
    place = (address.hostname or "localhost", address.port or 80)
    client = socket.create_connection(place, TIMEOUT_S)
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /ws/{sandbox_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "\r\n".encode()
    )
    answer = client.recv(4096)
    if b" 101 " not in answer:
        client.close()
        raise BenchmarkFailed(f"an idle client was answered {answer[:200]!r}")
    return client


class _Idlers:
    """Clients that do nothing but answer pings, as every client does."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.lost = 0

    def add(self, client: socket.socket) -> None:
        self._selector.register(client, selectors.EVENT_READ)

    def answer_pings(self) -> None:
        while True:
            for found, _events in self._selector.select(0.1):  # others are added meanwhile
                self._answer(found.fileobj)  # type: ignore[arg-type]

    def _answer(self, client: socket.socket) -> None:
        try:
            received = client.recv(4096)
            self._answer_pings(client, received)
        except OSError:
            received = b""
        if not received:
            self._selector.unregister(client)
            self.lost += 1

    @staticmethod
    def _answer_pings(client: socket.socket, received: bytes) -> None:
        while len(received) >= 2:
            # Frames of a server have no mask; pings are shorter than 126 bytes (RFC 6455, 5.5).
            kind, size = received[0], received[1]
            payload, received = received[2 : 2 + size], received[2 + size :]
            if kind == _PING:
                client.sendall(bytes((_PONG, 0x80 | size, 0, 0, 0, 0)) + payload)


class _Worker:
    """A client that runs a command, waits, and so on."""

    def __init__(self, url: str, sandbox_id: str, pause_s: float) -> None:
        self._commands = CommandSocket(url, sandbox_id)
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._count = 0
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with closing(self._commands):
            while not self._stopping.wait(self._pause_s):
                self._commands.run("true")
                self._count += 1

    def stop(self) -> int:
        self._stopping.set()
        self._thread.join()
        return self._count
