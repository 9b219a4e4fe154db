"""One request for a port, from the first byte to the last one of its answer."""

from __future__ import annotations

import h11

from gateway.api.ports.answer import Answer, Truncated, fields_of, written_head
from gateway.api.ports.answer_headers import passed_out
from gateway.api.ports.client import Client, ClientLeft
from gateway.api.ports.request_headers import Headers, passed_in
from gateway.api.ports.server import Server, new_buffer
from gateway.api.ports.tunnel import Tunnel
from gateway.api.ports.upload import Upload
from gateway.api.ports.watch import Stopped, Watch
from gateway.errors import BadRequest, GatewayError, PortFailed
from gateway.middleware.port_credentials import SUBPROTOCOL
from gateway.middleware.port_target import PortTarget
from gateway.ports.connection import Connection
from gateway.ports.dialling import Ports

HEAD_BYTES = 64 * 1024
"""Of an answer, the informational ones before it not counted."""

HEAD_PIECE_BYTES = 16 * 1024
"""Read at a time: what comes at once is not looked at for its size."""

MOST_INFORMATIONAL = 20

_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Sent again on a new connection where a kept one turns out to be dead."""

_SWITCHED = 101
_CONTINUE = 100


class Exchange:
    """Owns its connection to the server, until that is kept for the next one."""

    def __init__(
        self,
        client: Client,
        target: PortTarget,
        own: frozenset[str],
        watch: Watch,
        ports: Ports,
        place: tuple[str, int],
    ) -> None:
        self._client = client
        self._target = target
        self._own = own
        self._watch = watch
        self._ports = ports
        self._place = place
        """Container and port."""
        self._buffer = new_buffer()
        self._server: Server | None = None
        self._upload: Upload | None = None
        self._answer: Answer | None = None
        self._switched: h11.InformationalResponse | None = None
        self.extra: Headers = []
        """Fields of the gateway's own in the answer."""

    # --- asking ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Pass the request on and wait for the head of its answer.

        Raises what `Ports.connect` does, PortFailed, LinkLost, ClientLeft and Stopped.
        """
        kept = self._kept()
        if kept is not None:
            try:
                self._ask(kept)
                return
            except (OSError, _NoAnswer):
                kept.close()
        connection = self._ports.connect(*self._place)
        try:
            self._ask(connection)
        except _NoAnswer as error:
            raise PortFailed("the server ended the connection without an answer") from error
        except OSError as error:
            raise PortFailed(f"the connection broke: {error.strerror or error}") from error

    def _kept(self) -> Connection | None:
        if (
            self._client.has_body
            or self._client.upgrade
            or self._client.request.method not in _SAFE
        ):
            return None
        return self._ports.take_kept(*self._place)

    def _ask(self, connection: Connection) -> None:
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._server = Server(connection, self._watch)
        self._server.write(self._written_request())
        if self._client.has_body:
            self._upload = Upload(self._client, self._server, connection.close)
        try:
            head = self._next_head()
        except h11.RemoteProtocolError as error:
            raise PortFailed(f"the answer is not HTTP: {error}") from error
        if isinstance(head, h11.Response):
            self._answer = Answer(head, self._client)
        else:
            self._switched = head

    def _written_request(self) -> bytes:
        client, request = self._client, self._client.request
        fields = passed_in(request.headers, self._target, self._own, client.address, client.host)
        if request.is_chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        elif client.body_size is not None:
            fields.append(("Content-Length", str(client.body_size)))
        if request.is_awaited:
            fields.append(("Expect", "100-continue"))
        if client.upgrade is not None:
            fields += [("Connection", "Upgrade"), ("Upgrade", client.upgrade)]
        try:
            asked = h11.Request(
                method=request.method,
                target=self._target.address,
                headers=[(name.encode(), value.encode("latin-1")) for name, value in fields],
            )
            written = self._parser.send(asked) or b""
        except h11.LocalProtocolError as error:
            raise BadRequest(str(error)) from error
        if not client.has_body:
            self._parser.send(h11.EndOfMessage())
        return written

    def _next_head(self) -> h11.Response | h11.InformationalResponse:
        """The next one that is no interim answer; those are dealt with."""
        assert self._server is not None
        received = informational = 0
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                count = self._server.read_into(self._buffer[:HEAD_PIECE_BYTES])
                if not count and not received:
                    raise _NoAnswer
                received += count
                self._parser.receive_data(bytes(self._buffer[:count]))
            elif isinstance(event, h11.Response):
                return event
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == _SWITCHED:
                    return event
                informational += 1
                if informational > MOST_INFORMATIONAL:
                    raise PortFailed("too many interim answers")
                self._pass_interim(event)
            else:
                raise PortFailed("the server ended the connection in the middle of an answer")

    def _pass_interim(self, event: h11.InformationalResponse) -> None:
        if event.status_code == _CONTINUE:
            if self._upload is not None:
                self._upload.ask()  # which tells the client, unless it was told
        elif self._client.takes_chunks:
            fields = passed_out(fields_of(event), self._target, self._client.host)
            self._client.write(written_head(event.status_code, bytes(event.reason), fields))

    # --- answering -------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """Of the answer that has begun."""
        return _SWITCHED if self._answer is None else self._answer.status

    @property
    def is_endless(self) -> bool:
        """Whether nobody knows when the answer will end."""
        return self._answer is None or (self._answer.has_body and self._answer.size is None)

    def relay(self) -> None:
        """Pass the answer on. What fails now ends the client's connection, which shows it."""
        try:
            if self._answer is not None:
                self._relay_answer(self._answer)
            else:
                self._relay_switched()
        except (ClientLeft, Stopped, Truncated, GatewayError, OSError):
            self._client.cut()
        finally:
            self.close()

    def _relay_answer(self, answer: Answer) -> None:
        assert self._server is not None
        fields = passed_out(answer.fields, self._target, self._client.host) + self.extra
        nothing_after = answer.relay(answer.head(fields), self._parser, self._server, self._buffer)
        asked_whole = self._upload is None or self._upload.finish()
        if answer.may_be_kept and nothing_after and asked_whole:
            connection, self._server = self._server.connection, None
            self._ports.keep(*self._place, connection)

    def _relay_switched(self) -> None:
        assert self._server is not None
        assert self._switched is not None
        switched = fields_of(self._switched)
        fields = passed_out(switched, self._target, self._client.host) + self.extra
        fields += [("Connection", "Upgrade")]
        fields += [pair for pair in switched if pair[0].lower() == "upgrade"]
        if not any(name.lower() == "sec-websocket-protocol" for name, _value in switched):
            fields += self._selected_for_the_server()
        self._client.write(written_head(_SWITCHED, bytes(self._switched.reason), fields))
        protocol = next((value for name, value in fields if name.lower() == "upgrade"), "")
        tunnel = Tunnel(self._client, self._server, self._watch, protocol)
        tunnel.run(bytes(self._parser.trailing_data[0]))

    def _selected_for_the_server(self) -> Headers:
        """A browser ends the connection unless one of the subprotocols that it has offered is
        selected, and of the one with the token the server knows nothing."""
        if self._target.by_host and "sec-websocket-protocol" not in self._own:
            return []
        offered = (self._client.field("sec-websocket-protocol") or "").split(",")
        own = [one.strip() for one in offered if one.strip().startswith(SUBPROTOCOL)]
        return [("Sec-WebSocket-Protocol", own[0])] if own else []

    def close(self) -> None:
        """Let go of everything. May be repeated."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.finish()
        server, self._server = self._server, None
        if server is not None:
            server.connection.close()


class _NoAnswer(Exception):
    """The server has ended the connection before it sent anything."""
