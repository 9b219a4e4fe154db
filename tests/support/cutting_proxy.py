"""A proxy on the way to a gateway that cuts connections."""

from __future__ import annotations

import random
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes on what both sides say, and cuts a connection after so many bytes of an answer: by
    chance between `at_least` and `at_most`. Use it in a `with`."""

    def __init__(self, url: str, at_least: int, at_most: int, *, seed: int = 0) -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "", parts.port or 80)
        self._bounds = at_least, at_most
        self._chance = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.cuts = 0
        self.is_cutting = True
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._place, timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        up = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
        up.start()
        self._answer(server, client)
        for one in (client, server):
            _end(one)
        up.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        left = self._chance.randint(*self._bounds)
        try:
            while data := server.recv(65536):
                if self.is_cutting:
                    left -= len(data)
                if left < 0:
                    client.sendall(data[:left])
                    self.cuts += 1
                    return
                client.sendall(data)
        except OSError:
            pass  # either side has gone


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either side has gone


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is over already
