"""A caller with a key: requests, WebSockets, raw connections."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Caller:
    """Asks the gateway at `url` with `key`; without one when it is ""."""

    url: str
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key} if self.key else {}

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request on a connection of its own, so that any worker may answer it."""
        headers = {"Connection": "close", **self.headers, **options.pop("headers", {})}
        options = {"timeout": TIMEOUT_S} | options
        return requests.request(method, self.url + path, headers=headers, **options)

    def create(self, **options: Any) -> str:
        """The id of a new sandbox. Raises requests.HTTPError when it is refused."""
        answer = self.ask("POST", "/sandboxes", json=options)
        answer.raise_for_status()
        sandbox_id: str = answer.json()["sandbox_id"]
        return sandbox_id

    def delete(self, sandbox_id: str) -> None:
        self.ask("DELETE", f"/sandboxes/{sandbox_id}").raise_for_status()

    def connect(self, sandbox_id: str) -> websocket.WebSocket:
        """A WebSocket of the sandbox."""
        return websocket.create_connection(
            f"ws{self.url.removeprefix('http')}/ws/{sandbox_id}",
            timeout=TIMEOUT_S,
            header=[f"{name}: {value}" for name, value in self.headers.items()],
            sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            # Done in Python it took more of the CPU than the gateway that is looked at.
            skip_utf8_validation=True,
        )

    def dial(self) -> socket.socket:
        """A bare connection to the gateway's port."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port), TIMEOUT_S)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of a request, to be sent on a bare connection."""
        place = urlsplit(self.url).netloc
        own = [f"{name}: {value}" for name, value in self.headers.items()]
        text = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {place}", *own, *lines, "", ""])
        return text.encode("latin-1")


def command(text: str, **fields: Any) -> str:
    """A message that runs `text`."""
    return json.dumps({"command": text, **fields})
