"""E2B's data plane as it looks on the wire: tokens, calls and envelopes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import requests

from tests.support.e2b_sdks import key_header
from tests.support.gateway_process import GatewayProcess

KEY = key_header()

UNARY = "application/json"
STREAM = "application/connect+json"


def envelope(message: Any, flags: int = 0) -> bytes:
    """One message as clients send it."""
    body = json.dumps(message).encode()
    return struct.pack("!BI", flags, len(body)) + body


class Sandbox:
    """A sandbox that was made through the control plane, and calls to it."""

    def __init__(self, gateway: GatewayProcess, **asked: Any) -> None:
        self.gateway = gateway
        answer = gateway.post(
            "/v2/sandboxes", headers=KEY, json={"templateID": "base", "timeout": 600, **asked}
        )
        assert answer.status_code == 201, answer.text
        self.id: str = answer.json()["sandboxID"]
        self.token: str = answer.json()["envdAccessToken"]

    @property
    def headers(self) -> dict[str, str]:
        return {
            "E2b-Sandbox-Id": self.id,
            "E2b-Sandbox-Port": "49983",
            "X-Access-Token": self.token,
        }

    def call(
        self, method: str, message: Any, *, service: str = "process.Process", **headers: str
    ) -> requests.Response:
        """A unary call."""
        return self.gateway.post(
            f"/{service}/{method}",
            json=message,
            headers={**self.headers, "Connect-Protocol-Version": "1", **_named(headers)},
        )

    def stream(
        self, method: str, message: Any, *, service: str = "process.Process", **headers: str
    ) -> Stream:
        """A call that is answered by a stream."""
        return Stream(
            self.gateway.post(
                f"/{service}/{method}",
                data=envelope(message),
                headers={**self.headers, "Content-Type": STREAM, **_named(headers)},
                stream=True,
                timeout=60,
            )
        )

    def start(self, *argv: str, tag: str | None = None, **more: Any) -> Stream:
        """Start a program. `headers` are those of the request."""
        headers = more.pop("headers", {})
        process = {"cmd": argv[0], "args": list(argv[1:]), **more.pop("process", {})}
        message = {"process": process, "stdin": False, **more}
        if tag is not None:
            message["tag"] = tag
        return self.stream("Start", message, **headers)

    def shell(self, text: str, **more: Any) -> Stream:
        """Start a text in bash."""
        return self.start("/bin/bash", "-c", text, **more)

    def connect(self, pid: int, **headers: str) -> Stream:
        """Follow a process."""
        return self.stream("Connect", {"process": {"pid": pid}}, **headers)

    def end(self) -> None:
        """Kill the sandbox."""
        self.gateway.delete(f"/sandboxes/{self.id}", headers=KEY)

    def alive(self, pid: int) -> bool:
        """Whether a process runs, as another in the sandbox sees it."""
        return self.shell(f"kill -0 {pid}").whole().exit_code == 0


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Ended:
    """What a stream has brought: everything that was written, by name, and how it ended."""

    def __init__(self) -> None:
        self.output: dict[str, bytes] = {}
        self.end: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.keepalives = 0

    @property
    def exit_code(self) -> int | None:
        return None if self.end is None else self.end["exitCode"]

    def take(self, event: dict[str, Any]) -> None:
        for name, data in event.get("data", {}).items():
            self.output[name] = self.output.get(name, b"") + base64.b64decode(data)
        self.end = event.get("end", self.end)
        self.keepalives += "keepalive" in event

    def __getattr__(self, name: str) -> bytes:
        if name in ("stdout", "stderr", "pty"):
            return self.output.get(name, b"")
        raise AttributeError(name)


class Stream:
    """The answer of one streaming call."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.raw = b""
        self._pieces = response.iter_content(None)
        self.so_far = Ended()
        self._pid: int | None = None
        self._is_over = False

    def messages(self) -> Iterator[tuple[int, Any]]:
        """(flags, message) of each envelope, as they come."""
        while True:
            while len(self.raw) < 5 or len(self.raw) < 5 + struct.unpack_from("!BI", self.raw)[1]:
                piece = next(self._pieces, None)
                if piece is None:
                    assert not self.raw, f"the stream was cut within an envelope: {self.raw!r}"
                    return
                self.raw += piece
            flags, size = struct.unpack_from("!BI", self.raw)
            message, self.raw = self.raw[5 : 5 + size], self.raw[5 + size :]
            yield flags, json.loads(message)

    def next(self) -> dict[str, Any]:
        """The next event; none at the end."""
        if self._is_over:
            return {}
        for flags, message in self.messages():
            if flags == 2:
                self._is_over = True
                self.so_far.error = message.get("error")
                return {}
            self.so_far.take(message["event"])
            return dict(message["event"])
        raise AssertionError("the stream ended without its last envelope")

    @property
    def pid(self) -> int:
        """That of the first event."""
        if self._pid is None:
            assert self.response.status_code == 200, self.response.text
            event = self.next()
            assert "start" in event, (event, self.so_far.error)
            self._pid = event["start"]["pid"]
        return self._pid

    def until(self, what: bytes, name: str = "stdout") -> Ended:
        """Read until the output has this."""
        assert self.pid
        while what not in self.so_far.output.get(name, b""):
            assert self.next(), f"it ended before {what!r}: {self.so_far.__dict__}"
        return self.so_far

    def whole(self) -> Ended:
        """Read to the end."""
        assert self.response.status_code == 200, self.response.text
        while self.next():
            pass
        return self.so_far

    def until_it_breaks(self) -> Ended:
        """Read whatever still comes of a connection whose other end has gone."""
        try:
            while self.next():
                pass
        except requests.RequestException:
            pass
        return self.so_far

    def leave(self) -> Ended:
        """Hang up, having looked at all that has come: what this process has taken and not looked
        at counts as had."""
        self.response.raw._fp.fp.raw._sock.settimeout(0.001)
        self.until_it_breaks()
        self.close()
        return self.so_far

    def close(self) -> None:
        """Hang up."""
        self.response.close()
