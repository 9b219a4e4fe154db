"""A command that is followed to its end, over connections that break."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ..api_error import ConnectionLost, WaitTimeout
from ..error_codes import FeatureMissing
from ..models.commands import (
    Changes,
    CommandEvent,
    CommandResult,
    CommandStarted,
    OutputGap,
    OutputPiece,
)
from .collected_output import CollectedOutput
from .event_stream import EventDecoder
from .retrying import Retrying, error_from
from .steps import Broken, Pause, Read, Request, Story, Told, segment

STREAM_SILENCE_S = 45.0
"""The gateway sends something every 15 seconds."""

STEADY_S = 10.0
"""A connection that has held for so long worked: a quiet command brings nothing for hours."""

SMALL_RESULT_BYTES = 64 * 1024
"""Of the output that a result repeats. Why a command could not be run stands only there."""

LARGEST_RESULT_BYTES = 16 * 1024 * 1024
"""Most that the gateway puts into a result."""

NEEDS_NO_AGENT = frozenset(
    {
        *("command", "request_id", "once", "stream", "encoding", "max_output_bytes"),
        *("timeout", "cwd", "env", "checkpoint", "changes"),
    }
)
"""What a command may be given in an image without python3. `once` and `stream` are left out."""

GOES_ON = frozenset(
    {
        *("gateway_stopping", "agent_unavailable", "link_lost", "engine_unavailable"),
        *("engine_timeout", "too_much_unread", "gateway_full", "too_many_streams"),
        *("sandbox_busy", "store_unavailable"),
    }
)
"""Codes of a stream's last message after which the command can be attached to again."""


class FollowedCommand:
    """Where one client stands with a command: what it has of both streams and, at last, the result.

    `start` is the body that starts it with `once`, or None for one that runs already. Each byte is
    told once: offsets count the bytes of a stream, and what comes again is cut off.
    """

    def __init__(
        self,
        retrying: Retrying,
        sandbox: str,
        request_id: str,
        start: Mapping[str, Any] | None = None,
        offsets: tuple[int, int] = (0, 0),
        collected: CollectedOutput | None = None,
    ) -> None:
        self.request_id = request_id
        self.result: CommandResult | None = None
        self.pid: int | None = None
        self.has_started = False
        self.is_to_be_attached_again = False
        self.offsets = {"stdout": offsets[0], "stderr": offsets[1]}
        self.collected = CollectedOutput() if collected is None else collected
        self._retrying = retrying
        self._address = f"/sandboxes/{segment(sandbox)}/commands"
        self._start = start
        self._last_error: Exception | None = None

    def story(self, *, deadline: float | None = None) -> Story[CommandEvent]:
        """What happens until the command has ended; then there is a `result`. May be left, and
        begun again. Raises ApiError, ConnectionLost, GatewayUnreachable, and WaitTimeout at the
        `deadline`."""
        attempt = 0
        lost_at = None
        while self.result is None:
            before = dict(self.offsets), self.has_started
            opened_at = self._retrying.clock()
            try:
                yield from self._once_through(deadline)
            except Broken as broken:
                self._check(deadline)
                self._last_error = ConnectionLost(f"the connection to the gateway broke: {broken}")
            if self._is_over():
                return
            self._check(deadline)
            now = self._retrying.clock()
            has_brought = (dict(self.offsets), self.has_started) != before
            if has_brought or now - opened_at > STEADY_S or lost_at is None:
                attempt, lost_at = 0, now
            if now - lost_at > self._retrying.timeout_s:
                assert self._last_error is not None
                raise self._last_error
            yield Pause(self._retrying.backoff_s(attempt))
            attempt += 1

    def _is_over(self) -> bool:
        return self.result is not None

    def _check(self, deadline: float | None) -> None:
        if deadline is not None and self._retrying.clock() >= deadline:
            raise WaitTimeout(f"the command {self.request_id} still runs")

    def _once_through(self, deadline: float | None) -> Story[CommandEvent]:
        """One connection, to its end."""
        try:
            yield from self._retrying.exchange(self._request(deadline))
        except FeatureMissing:
            if self._start is None or not NEEDS_NO_AGENT.issuperset(self._start):
                raise
            yield from self._without_an_agent(self._start)
            return
        decoder = EventDecoder()
        self._last_error = ConnectionLost("the answer ended before the command's result")
        while True:
            data = yield Read()
            if not data:
                return
            for event in decoder.feed(data):
                told = self.take(json.loads(event.data))
                if told is not None:
                    self.collected.add(told)
                    yield Told(told)
                if self.result is not None or event.event == "error":
                    return
            self._check(deadline)

    def _without_an_agent(self, start: Mapping[str, Any]) -> Story[CommandEvent]:
        """In an image without python3: the result at once, and nothing that could be attached to.
        It is not sent twice."""
        body = {name: value for name, value in start.items() if name not in ("once", "stream")}
        body["max_output_bytes"] = LARGEST_RESULT_BYTES
        answer = yield from self._retrying.exchange(
            Request("POST", self._address, json=body, is_repeatable=False, silence_s=None)
        )
        message = answer.json()
        truncated = message.get("truncated") or {}
        for stream, name in (("stdout", "output"), ("stderr", "error")):
            data = base64.b64decode(message[name])
            size = truncated.get(f"{name}_bytes", len(data))
            cut = {"type": "gap", "stream": stream, "from": len(data), "to": size}
            for one in ({"type": stream, "offset": 0, "data": message[name]}, cut):
                told = self.take(one)
                if told is not None:
                    self.collected.add(told)
                    yield Told(told)
        self.result = self._result(message)

    def _request(self, deadline: float | None) -> Request:
        silence_s = STREAM_SILENCE_S
        if deadline is not None:
            silence_s = min(silence_s, max(deadline - self._retrying.clock(), 0.05))
        headers = {"Accept": "text/event-stream"}
        if self._start is not None and not self.has_started:
            return Request(
                "POST",
                self._address,
                json=self._start,
                headers=headers,
                is_streamed=True,
                silence_s=silence_s,
            )
        return Request(
            "GET",
            f"{self._address}/{segment(self.request_id)}/output",
            query={**self.offsets, "encoding": "base64"},
            headers=headers,
            is_streamed=True,
            silence_s=silence_s,
        )

    @property
    def last_error(self) -> Exception:
        """Why it has to be attached to again."""
        return self._last_error or ConnectionLost("the connection to the gateway broke")

    def attach_message(self) -> dict[str, Any]:
        """What is sent first on a WebSocket."""
        self.is_to_be_attached_again = False
        if self._start is not None and not self.has_started:
            return dict(self._start)
        return {
            "type": "attach",
            "request_id": self.request_id,
            "encoding": "base64",
            **self.offsets,
        }

    def take(self, message: Mapping[str, Any]) -> CommandEvent | None:
        """A message of the gateway; what it tells that is new. Raises ApiError for an error that
        attaching again does not help; after another `is_to_be_attached_again`."""
        kind = message.get("type")
        if kind in ("stdout", "stderr"):
            data = base64.b64decode(message["data"])
            return self._piece(str(kind), int(message["offset"]), data)
        if kind == "started":
            is_first, self.has_started = not self.has_started, True
            self.pid = message.get("pid")
            return CommandStarted(self.pid) if is_first else None
        if kind == "gap":
            stream, start, end = str(message["stream"]), message["from"], message["to"]
            start = max(int(start), self.offsets[stream])
            self.offsets[stream] = max(int(end), self.offsets[stream])
            return OutputGap(stream, start, int(end)) if end > start else None
        if kind == "result":
            self.result = self._result(message)
        elif kind == "ended":
            raise error_from(
                {
                    "code": "sandbox_not_found",
                    "message": "the sandbox went away",
                    "ended": {"reason": message.get("reason")},
                }
            )
        elif kind == "error":
            self._last_error = error = error_from(dict(message))
            if error.code not in GOES_ON:
                raise error
            self.is_to_be_attached_again = True
        return None

    def _piece(self, stream: str, offset: int, data: bytes) -> OutputPiece | None:
        known = self.offsets[stream] - offset
        if known > 0:
            offset, data = offset + known, data[known:]
        if not data:
            return None
        self.offsets[stream] = offset + len(data)
        return OutputPiece(stream, offset, data)

    def _result(self, message: Mapping[str, Any]) -> CommandResult:
        stderr = self.collected.value("stderr")
        if not self.offsets["stderr"] and message["returncode"]:
            # Why it could not be run, which it did not write itself.
            stderr = base64.b64decode(message.get("error") or "")
        changes = message.get("changes")
        return CommandResult(
            request_id=self.request_id,
            command=message.get("command", ""),
            returncode=message["returncode"],
            stdout=self.collected.value("stdout"),
            stderr=stderr,
            timestamp=message.get("timestamp", ""),
            timed_out=bool(message.get("timed_out")),
            session_ended=bool(message.get("session_ended")),
            checkpoint=message.get("checkpoint"),
            changes=None if changes is None else Changes.from_json(changes),
            changes_missing=message.get("changes_missing"),
            gaps=self.collected.gaps,
            left_out_bytes=self.collected.left_out_bytes,
        )
