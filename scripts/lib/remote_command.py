"""Commands in a sandbox over REST and server-sent events, with the standard library alone.

A connection that breaks is made again: the command is sent with `once`, so it never runs twice, and
its output is asked for from where it stopped.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import stat
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

INTERRUPTED = 130
PIPE_CLOSED = 141
"""128 and SIGPIPE, as shells say it."""
FAILED = 255

STDOUT, STDERR = 1, 2
INPUT_BYTES = 64 * 1024

SILENCE_S = 60.0
"""The gateway sends something every 15 seconds."""
PATIENCE_S = 60.0
"""How long a broken connection is made again."""
PAUSE_S = 0.5


class Refused(Exception):
    """The gateway's own words on what does not work."""


class Lost(Exception):
    """The connection broke."""


class Unwritable(Exception):
    """The output cannot be passed on. `is_closed`: nobody reads it any more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write the output: {error.strerror}")
        self.is_closed = isinstance(error, BrokenPipeError)


class Gateway:
    """The commands of one sandbox at a gateway. Raises ValueError for what is no address."""

    def __init__(self, url: str, sandbox_id: str, key: str | None) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{url!r} is no address like http://localhost:8003")
        secure = address.scheme == "https"
        self._connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._place = (address.hostname, address.port)
        self._path = f"{address.path.rstrip('/')}/sandboxes/{quote(sandbox_id, safe='')}/commands"
        self._key = key
        self.url = url
        self.sandbox_id = sandbox_id

    def events(self, path: str, body: Any = None, last_id: str = "") -> Iterator[dict[str, Any]]:
        """The events of a command, each with the `id` that it came with. Raises Refused, Lost."""
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        connection, answer = self._ask("POST" if body else "GET", path, body, headers, SILENCE_S)
        try:
            yield from _events_in(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Lost(str(error) or type(error).__name__) from None
        finally:
            connection.close()

    def write(self, request_id: str, data: bytes, *, eof: bool) -> None:
        """Write to a command's input. Returns when it, or its buffer, has taken all of it. Raises
        Refused, Lost."""
        text = base64.b64encode(data).decode("ascii")
        body = {"data": text, "encoding": "base64", "eof": eof}
        connection, _answer = self._ask("POST", f"{_segment(request_id)}/stdin", body, {}, None)
        connection.close()

    def _ask(
        self, method: str, path: str, body: Any, headers: dict[str, str], timeout_s: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connect(*self._place, timeout=timeout_s)
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers = headers | {"Content-Type": "application/json"}
        if self._key:
            headers = headers | {"Authorization": f"Bearer {self._key}"}
        try:
            connection.request(method, f"{self._path}{path}", sent, headers)
            answer = connection.getresponse()
            if answer.status < 300:
                return connection, answer
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Lost(str(error) or type(error).__name__) from None
        connection.close()
        if answer.status in (502, 503):
            raise Lost(_message(text) or f"status {answer.status}")
        raise Refused(_message(text) or f"status {answer.status}")


def _segment(request_id: str) -> str:
    return "/" + quote(request_id, safe="")


def _message(text: str) -> str:
    try:
        problem = json.loads(text)
        return f"{problem['message']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


def _events_in(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Server-sent events (HTML standard, section 9.2) as the gateway writes them: one `data` line
    each."""
    name = ""
    while line := answer.readline():
        field, _, value = line.rstrip(b"\n").partition(b": ")
        if field == b"id":
            name = value.decode()
        elif field == b"data":
            event = json.loads(value)
            yield event | {"id": name}


# --- following -----------------------------------------------------------------------------------


class _Command:
    """One that runs or has run. `status` is its return code, once there is a result."""

    def __init__(self, gateway: Gateway, request_id: str) -> None:
        self.request_id = request_id
        self.status: int | None = None
        self.started = threading.Event()
        self.incomplete = ""
        """What was lost."""
        self._gateway = gateway
        self._last_id = ""
        self._told_error = False

    def run(self, text: str, *, interactive: bool) -> None:
        """Start it and pass on what it writes, to its end. Raises Refused, Lost, Unwritable."""
        self._follow(
            {
                "command": text,
                "request_id": self.request_id,
                "once": True,
                "stream": True,
                "encoding": "base64",
                "interactive": interactive,
                "max_output_bytes": 65536,
            }
        )

    def attach(self) -> None:
        """Pass on what it has written and writes, to its end. Raises Refused, Lost, Unwritable."""
        self._follow(None)

    def _follow(self, body: dict[str, Any] | None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                for event in self._events(body):
                    deadline = time.monotonic() + PATIENCE_S
                    self._take(event)
                    if self.status is not None:
                        return
                raise Lost("the answer ended too soon")
            except Lost:
                # Before the first word it is an address where nobody is.
                if not self._last_id or time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE_S)

    def _events(self, body: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        if body is not None and not self.started.is_set():
            return self._gateway.events("", body)
        output = f"{_segment(self.request_id)}/output?encoding=base64"
        return self._gateway.events(output, last_id=self._last_id)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "started":
            self.started.set()
        elif kind in ("stdout", "stderr"):
            fd = STDOUT if kind == "stdout" else STDERR
            self._told_error |= fd == STDERR
            _write(fd, base64.b64decode(event["data"]))
        elif kind == "gap":
            size = event["to"] - event["from"]
            self.incomplete = f"{size} bytes of {event['stream']} are not kept any more"
            _say(self.incomplete)
        elif kind == "result":
            self.status = _status(event)
            if event["returncode"] and not self._told_error:
                _write(STDERR, base64.b64decode(event["error"]))  # why it could not be run
        elif kind == "ended":
            raise Refused(f"the sandbox went away ({event.get('reason')})")
        elif kind == "error":
            if event.get("code") in ("gateway_stopping", "agent_unavailable"):
                raise Lost(str(event.get("message")))
            raise Refused(f"{event.get('message')} ({event.get('code')})")
        self._last_id = event["id"] or self._last_id


def _status(event: dict[str, Any]) -> int:
    returncode = event["returncode"]
    return returncode if 0 <= returncode < 256 else FAILED


def run_each(gateway: Gateway, texts: Sequence[str]) -> int:
    """Run commands one after the other; the last one's return code. The first one gets what is
    piped in."""
    status = 0
    for number, text in enumerate(texts):
        command = _Command(gateway, str(uuid.uuid4()))
        has_input = number == 0 and _is_piped_in()
        if has_input:
            feeder = _Feeder(gateway, command)
            threading.Thread(target=feeder.feed, daemon=True).start()
        status = _watched(command, lambda c=command, t=text, i=has_input: c.run(t, interactive=i))
        if status in (INTERRUPTED, PIPE_CLOSED, FAILED) and command.status is None:
            return status
    return status


def follow(gateway: Gateway, request_id: str) -> int:
    """Follow a command from its beginning; its return code."""
    command = _Command(gateway, request_id)
    return _watched(command, command.attach)


def _watched(command: _Command, work: Any) -> int:
    """The status to end with, having said what people must know."""
    try:
        work()
    except KeyboardInterrupt:
        _say_that_it_goes_on(command)
        return INTERRUPTED
    except Unwritable as error:
        if error.is_closed:
            return PIPE_CLOSED
        _say(str(error))
        _say_that_it_goes_on(command)
        return FAILED
    except Lost as error:
        _say(f"the connection broke: {error}")
        _say_that_it_goes_on(command)
        return FAILED
    except Refused as error:
        _say(str(error))
        return FAILED
    if command.incomplete and command.status == 0:
        return FAILED
    return FAILED if command.status is None else command.status


def _say_that_it_goes_on(command: _Command) -> None:
    if command.started.is_set():
        _say(f"the command goes on; to follow it: --attach {command.request_id}")


# --- input and output ----------------------------------------------------------------------------


def _is_piped_in() -> bool:
    """Whether somebody gives input: not a terminal, not /dev/null."""
    try:
        return not stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        return False  # closed


class _Feeder:
    """Passes on what is piped in, in a thread of its own."""

    def __init__(self, gateway: Gateway, command: _Command) -> None:
        self._gateway = gateway
        self._command = command

    def feed(self) -> None:
        """To its end, or until the command takes no more."""
        self._command.started.wait()
        try:
            while data := os.read(0, INPUT_BYTES):
                self._gateway.write(self._command.request_id, data, eof=False)
            self._gateway.write(self._command.request_id, b"", eof=True)
        except Refused:
            pass  # the command has ended or closed its input, as a pipe's reader may
        except (Lost, OSError) as error:
            self._command.incomplete = "not all of the input was passed on"
            _say(f"{self._command.incomplete}: {error}")


def _write(fd: int, data: bytes) -> None:
    """All of it, at once: nothing stays in a buffer that could be lost. Raises Unwritable."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError as error:
            raise Unwritable(error) from None


def _say(text: str) -> None:
    line = f"run: {text}\n".encode(sys.getfilesystemencoding(), "backslashreplace")
    try:
        _write(STDERR, line)
    except Unwritable:
        pass  # nobody hears it; the status says it too
