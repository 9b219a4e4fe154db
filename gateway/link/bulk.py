"""A connection of its own for one large transfer: a few frames, then raw bytes.

The kernel passes them on from socket to socket (`gateway.process.splicing`): as frames, 1 GB cost
this process some seconds of its only thread.
"""

from __future__ import annotations

from typing import Any

import gevent

from gateway.errors import AgentUnavailable, LinkLost
from gateway.link import direct
from gateway.link.incoming import Incoming, decode_json
from gateway.link.refusals import refusal
from gateway.process.giving_way import Turn
from gateway.protocol import frames

OPEN_S = 5.0
_CHANNEL = 1


class Bulk:
    """Open when made; whoever has it closes it. `first` are raw bytes that have come already."""

    def __init__(
        self, container_id: str, pid: int, uid: int, name: str, message: dict[str, Any]
    ) -> None:
        """To the process that serves files as user `uid`, at the abstract socket `name`. Raises
        AgentUnavailable, LinkLost, and what the operation is refused for."""
        self._stream = direct.connect(container_id, pid, uid, (name,))
        self._incoming = Incoming()
        try:
            with gevent.Timeout(OPEN_S, AgentUnavailable("no answer in time")):
                self._expect(frames.HELLO)
                opening = frames.encode_open(_CHANNEL, message | {"credit": (0, 0)})
                self._stream.send(opening)
                event = self._expect(frames.EVENT)
            if event.get("event") == "refused":
                raise refusal(event)
        except BaseException:
            self.close()
            raise
        self.first = self._incoming.rest()

    @property
    def socket(self) -> Any:
        """For raw bytes."""
        return self._stream.socket

    def close(self) -> None:
        """May be repeated."""
        self._stream.close()

    def _expect(self, kind: int) -> dict[str, Any]:
        turn = Turn()
        piece = self._incoming.rest()
        while True:
            found = self._incoming.frames(piece)
            frame = next(found, None)
            found.close()
            if frame is not None:
                if frame[0] != kind:
                    raise LinkLost("another frame was expected")
                return decode_json(frame[2])
            piece = self._stream.receive()
            turn.took(len(piece))
            if not piece:
                raise LinkLost("the connection for a large file broke")
