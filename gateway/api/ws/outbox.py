"""What goes out to one client, a whole frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

from gevent.lock import BoundedSemaphore
from pydantic import BaseModel

from gateway.api.ws import frames
from gateway.api.ws.safe_socket import SafeSocket
from gateway.errors import AgentUnavailable, GatewayError, HostFault, LinkLost
from gateway.logs.line_budget import bounded_log
from gateway.middleware.language import Texts
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.event_encoder import EventEncoder, encode_message
from gateway.schemas.models import SocketError

log = bounded_log(__name__)


class Outbox:
    """Writes frames to a client. `on_gone` is called when it turns out to be gone."""

    def __init__(self, socket: SafeSocket, texts: Texts, on_gone: Callable[[], None]) -> None:
        self._socket = socket
        self._texts = texts
        self._on_gone = on_gone
        self._turn = BoundedSemaphore(1)

    def send_events(self, encoder: EventEncoder, events: Iterable[CommandEvent]) -> None:
        """What happens to a command, to its exit, and close `events`, however this ends.

        Blocks while the client does not read; then the command is held back, for credit is given
        as this goes on. Raises ClientGone.
        """
        with closing(encoder.messages(events)) as messages:
            for _kind, make in messages:
                with self._turn:  # made when it is its turn: of large ones there is one at a time
                    payload = make()
                    if payload is not None:
                        self._socket.send_frame(frames.TEXT, payload)

    def send_binary(self, payload: bytes) -> None:
        """One binary frame. Blocks while the client does not read; raises ClientGone."""
        self._socket.send_frame(frames.BINARY, payload)

    def send_text(self, payload: bytes) -> None:
        """One text frame. Blocks while the client does not read; raises ClientGone."""
        self._socket.send_frame(frames.TEXT, payload)

    def send_message(self, message: BaseModel) -> None:
        """One message, if the client is still there."""
        self._if_there(frames.TEXT, encode_message(message))

    def send_result(self, result: ResultMessage) -> None:
        """A command's result, if the client is still there. Blocks while it does not read."""
        try:
            self._socket.send_pieces(frames.TEXT, result.size, result.pieces())
        except OSError:
            self._on_gone()

    def send_error(self, error: GatewayError, request_id: str | None) -> None:
        """What went wrong with a request, in the client's language, if it is still there."""
        detail = error.detail
        if isinstance(error, (HostFault, AgentUnavailable, LinkLost)):
            # What the engine says names images, paths and addresses of the host.
            log.warning("a request could not be served: %s: %s", error.code, error)
            detail = ""
        self.send_message(
            SocketError(
                type="error",
                code=error.code,
                message=self._texts.localised(error),
                detail=detail,
                request_id=request_id,
            )
        )

    def ping(self) -> None:
        """A ping frame."""
        self._if_there(frames.PING, b"")

    def _if_there(self, opcode: int, payload: bytes) -> None:
        try:
            self._socket.send_frame(opcode, payload)
        except OSError:
            self._on_gone()
