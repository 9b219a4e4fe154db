"""The machine's engine, reached as one on another host is: by TCP."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from tests.support.engine_proxy import EngineProxy


class RemoteEngine(EngineProxy):
    """Give `url` to a gateway: it then takes nothing on this host for the engine's."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._tcp.getsockname()[1]}"

    def open(self) -> None:
        """Listen."""
        threading.Thread(target=self._accept, args=(self._tcp,), daemon=True).start()

    def close(self) -> None:
        """Break every connection there is, and take no more. May be repeated."""
        try:
            self._tcp.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was closed before
        self._tcp.close()
        self.cut()
