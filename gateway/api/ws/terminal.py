"""A raw terminal on a WebSocket: binary frames are its bytes, both ways."""

from __future__ import annotations

import gevent

from gateway.api.ws import frames
from gateway.api.ws.frames import UnreadableRequest
from gateway.api.ws.peer import INTERNAL_ERROR, Peer
from gateway.api.ws.stdin_queue import StdinQueues
from gateway.commands.command_spec import CommandSpec
from gateway.commands.run_and_steer import Commands
from gateway.errors import BadRequest, GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.process.byte_budget import Holding
from gateway.process.time_shares import wait_for_share
from gateway.schemas.command_event import Output
from gateway.schemas.event_encoder import each_of
from gateway.schemas.json_in_threads import read_aside
from gateway.schemas.models import ResizeMessage
from gateway.use.place import Place

log = bounded_log(__name__)

NORMAL = 1000


class Terminal:
    """Serves one viewer of a terminal. Several may share one by its request_id."""

    def __init__(
        self, peer: Peer, place: Place, commands: Commands, spec: CommandSpec, held: Holding
    ) -> None:
        """`spec` is that of `terminal_of`."""
        self._peer = peer
        self._place = place
        self._commands = commands
        self._spec = spec
        self._request_id = spec.request_id
        self._input = StdinQueues(self._write, held, lambda: peer.connected)

    def serve(self) -> None:
        """Show the terminal until the viewer leaves or its shell ends."""
        showing = gevent.spawn(self._show)
        try:
            for message in self._peer.messages():
                wait_for_share()
                self._take(message)
        except Exception:
            log.exception("serving a terminal failed")
            self._peer.close(INTERNAL_ERROR)
        showing.kill()
        self._input.close()

    def _show(self) -> None:
        try:
            followed = self._commands.open_terminal(self._place, self._spec)
            with each_of(followed) as events:
                for event in events:
                    if isinstance(event, Output):
                        self._peer.outbox.send_binary(event.data)
            with self._commands.outcome(self._place, followed, spec=self._spec) as result:
                self._peer.outbox.send_result(result)
            self._peer.close(NORMAL)
        except OSError:
            self._peer.wake()
        except GatewayError as error:
            self._peer.outbox.send_error(error, self._request_id)
            self._peer.close(INTERNAL_ERROR)
        except Exception:
            log.exception("showing a terminal failed")
            self._peer.close(INTERNAL_ERROR)

    def _take(self, message: str | bytes) -> None:
        self._peer.asks()
        try:
            self._peer.count()
            if isinstance(message, bytes):
                self._input.put(self._request_id, message, eof=False)
                return
            request = read_aside(message, lambda: frames.parse_message(message))
            if not isinstance(request, ResizeMessage):
                raise BadRequest("a terminal takes binary frames, and `resize`")
            self._commands.resize(self._place, self._request_id, request.cols, request.rows)
        except UnreadableRequest as error:
            self._peer.outbox.send_error(error, error.request_id)
        except GatewayError as error:
            self._peer.outbox.send_error(error, self._request_id)

    def _write(self, request_id: str, data: bytes, eof: bool) -> None:
        try:
            self._commands.write_stdin(
                self._place, request_id, data, eof, lambda: self._input.moved(request_id)
            )
        except GatewayError as error:
            self._peer.outbox.send_error(error, request_id)
