"""A socket in front of the Docker Engine's that can be missing, silent or failing."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path

ENGINE = Path("/var/run/docker.sock")


class EngineProxy:
    """Forwards bytes between a UNIX socket of its own, at `path`, and the engine's.

    `open` makes the socket appear, `close` lets it vanish with all connections. Give `url` to a
    gateway as DOCKER_HOST. May be used as a context manager.
    """

    def __init__(self, path: Path, engine: Path = ENGINE) -> None:
        self.url = f"unix://{path}"
        self._engine = str(engine)
        self._path = path
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._failing: tuple[re.Pattern[bytes], int] | None = None
        self._fail_times: int | None = None
        self._answering = threading.Event()
        self._answering.set()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Listen. From now on the engine is there."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """The engine is gone. May be repeated, and followed by `open`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._path.unlink()
        self._answering.set()
        self.cut()

    def cut(self) -> None:
        """Break every connection there is."""
        with self._lock:
            for connection in self._connections:
                _shut_down(connection)

    def hang(self) -> None:
        """Take every call and answer none, until `answer`."""
        self._answering.clear()

    def answer(self) -> None:
        """Go on with everything that was held back."""
        self._answering.set()

    def fail(self, request: str, status: int = 500, times: int | None = None) -> None:
        """Answer requests whose first line matches with an error, so many `times` or until
        `heal`."""
        self._failing = (re.compile(request.encode()), status)
        self._fail_times = times

    def heal(self) -> None:
        self._failing = None

    def __enter__(self) -> EngineProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            with self._lock:
                self._connections |= {client, engine}
            threads = [
                threading.Thread(target=self._forward, args=pair, daemon=True)
                for pair in ((client, engine, True), (engine, client, False))
            ]
            for thread in threads:
                thread.start()
            threading.Thread(target=self._end, args=(threads, client, engine), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while piece := source.recv(1 << 16):
                self._answering.wait()
                if asks and self._refuse(piece, source):
                    break
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _shut_down(source)
            _shut_down(target)

    def _refuse(self, piece: bytes, client: socket.socket) -> bool:
        if self._failing is None:
            return False
        pattern, status = self._failing
        if not pattern.match(piece.split(b"\r\n", 1)[0]):
            return False
        if self._fail_times is not None:
            self._fail_times -= 1
            if self._fail_times <= 0:
                self.heal()
        body = b'{"message":"the engine fails, by order of a test"}'
        client.sendall(
            b"HTTP/1.1 %d Failed\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % (status, len(body)) + body
        )
        _shut_down(client)
        return True

    def _end(self, threads: list[threading.Thread], *connections: socket.socket) -> None:
        for thread in threads:
            thread.join()
        with self._lock:
            self._connections -= set(connections)
        for connection in connections:
            connection.close()


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer was first
