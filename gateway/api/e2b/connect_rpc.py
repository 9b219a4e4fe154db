"""Remote procedure calls in Connect's form (connectrpc.com, Protocol), with JSON as the codec.

Handlers are called in the request, with the id of the sandbox and the message. They raise RpcError
or any of the gateway's errors (`rpc_errors` knows their codes), and may ask `current_call`. What
may block for long waits by `Waiting`, which ends with this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import gevent
import orjson
from flask import Blueprint, Response

from gateway.api.e2b import rpc_requests
from gateway.api.e2b.client_socket import ClientSocket, client_of_request
from gateway.api.e2b.envelopes import END, enveloped
from gateway.api.e2b.open_streams import OpenStreams
from gateway.api.e2b.rpc_errors import TIME_IS_UP, RpcError, rpc_error_of
from gateway.api.e2b.rpc_requests import STREAM, UNARY, begin_call
from gateway.api.e2b.rpc_streams import STOPPING, Last, Message, Messages, Stopping, Stream

__all__ = ["ConnectRpc", "Last", "Message", "Messages", "RpcError"]

URL_PREFIX = "/e2b/envd/<sandbox_id>"
"""That of blueprints of the data plane."""

UnaryHandler = Callable[[str, Message], Message | Response]
ServerStreamHandler = Callable[[str, Message], Messages]
ClientStreamHandler = Callable[[str, Iterator[Message]], Message]

_ACCEPTED = {UNARY: "application/json", STREAM: "application/connect+json"}

Value = TypeVar("Value")


class Waiting(Protocol):
    """Waits in the place of requests: `gateway.api.rest.stoppable_waits.Waiting`."""

    @property
    def stopping(self) -> Stopping: ...

    def until(self, work: Callable[[], Value]) -> Value: ...


class ConnectRpc:
    """Adds procedures to blueprints, whose routes begin with URL_PREFIX. `waiting` knows when this
    process ends, `streams` when sandboxes do."""

    def __init__(self, waiting: Waiting, streams: OpenStreams) -> None:
        self._waiting = waiting
        self._streams = streams

    def until(self, work: Callable[[], Value]) -> Value:
        """Do `work`, which may block, in a greenlet of its own that ends with this process and has
        no request. Raises what it raises, and GatewayStopping."""
        return self._waiting.until(work)

    def unary(self, blueprint: Blueprint, service: str, method: str, handler: UnaryHandler) -> None:
        """One message, one answer. The client's deadline bounds `handler`, wherever it waits."""

        def answer(sandbox_id: str) -> Response:
            call = begin_call(UNARY)
            message = rpc_requests.only_message()
            return _json(_within(call.left_s(), lambda: handler(sandbox_id, message)))

        _add(blueprint, service, method, UNARY, answer)

    def server_stream(
        self,
        blueprint: Blueprint,
        service: str,
        method: str,
        handler: ServerStreamHandler,
        *,
        keepalive: Message,
    ) -> None:
        """One message, answered by those that `handler` gives: see `rpc_streams.Stream`.
        `keepalive` is what tells clients that the stream is still there."""

        def answer(sandbox_id: str) -> Response:
            call = begin_call(STREAM)
            message = rpc_requests.first_message()
            messages = handler(sandbox_id, message)
            stopping = self._waiting.stopping
            stream = Stream(call, messages, keepalive, stopping, client_of_request())
            leave = self._streams.enter(sandbox_id, stream)
            response = Response(iter(stream), content_type=STREAM)
            response.call_on_close(stream.close)
            response.call_on_close(leave)
            # nginx would keep messages back until it has 8 kB of them.
            response.headers["X-Accel-Buffering"] = "no"
            return response

        _add(blueprint, service, method, STREAM, answer)

    def client_stream(
        self, blueprint: Blueprint, service: str, method: str, handler: ClientStreamHandler
    ) -> None:
        """Messages as they come, answered by one at their end. When this process ends, or at the
        client's deadline, no more are read."""

        def answer(sandbox_id: str) -> Response:
            call = begin_call(STREAM)
            client = client_of_request()
            cut = _Cut(client, self._waiting.stopping)
            try:
                with cut:
                    said = _within(
                        call.left_s(), lambda: handler(sandbox_id, rpc_requests.each_message())
                    )
            except (RpcError, OSError):
                if cut.is_made:
                    raise RpcError("unavailable", STOPPING) from None
                raise
            return Response(
                enveloped(orjson.dumps(said)) + enveloped(b"{}", END), content_type=STREAM
            )

        _add(blueprint, service, method, STREAM, answer)

    @staticmethod
    def otherwise(blueprint: Blueprint, service: str) -> None:
        """Refuse every other method of a service."""

        def answer(sandbox_id: str, method: str) -> Response:
            return _refusal(RpcError("unimplemented", f"{service}/{method[:100]} is not known"))

        blueprint.add_url_rule(
            f"/{service}/<method>", _endpoint(service, "otherwise"), answer, methods=["POST"]
        )


class _Cut:
    """Ends the reading of a request's body when this process ends. Within the block."""

    def __init__(self, client: ClientSocket, stopping: Stopping) -> None:
        self._client = client
        self._stopping = stopping
        self.is_made = False

    def __enter__(self) -> None:
        self._stopping.rawlink(self._make)
        if self._stopping.is_set():
            self._make(None)

    def __exit__(self, *_exception: object) -> None:
        self._stopping.unlink(self._make)

    def _make(self, _event: object) -> None:
        self.is_made = True
        self._client.read_no_more()


def _add(
    blueprint: Blueprint,
    service: str,
    method: str,
    content_type: str,
    answer: Callable[[str], Response],
) -> None:
    def view(sandbox_id: str) -> Response:
        try:
            return answer(sandbox_id)
        except Exception as error:  # noqa: BLE001 - `rpc_error_of` logs what is unforeseen
            return _refusal(rpc_error_of(error), content_type)

    rule = f"/{service}/{method}"
    blueprint.add_url_rule(rule, _endpoint(service, method), view, methods=["POST"])


def _endpoint(service: str, method: str) -> str:
    return f"{service}_{method}".replace(".", "_")


def _within(left_s: float | None, work: Callable[[], Value]) -> Value:
    """What `work` gives. Raises RpcError at the deadline; it is ended then, wherever it waits."""
    if left_s is None:
        return work()
    over = gevent.Timeout(left_s)
    try:
        with over:
            return work()
    except gevent.Timeout as timeout:
        if timeout is not over:
            raise
        raise RpcError("deadline_exceeded", TIME_IS_UP) from None


def _refusal(error: RpcError, content_type: str = UNARY) -> Response:
    """An error before anything was streamed: by its status and a plain JSON body, also of calls
    that are answered by streams."""
    status = error.status
    if error.code == "unknown":  # the content type
        status = 415
    response = _json(error.said, status)
    if status == 415:
        response.headers["Accept-Post"] = _ACCEPTED[content_type]
    if status == 429:
        response.headers["Retry-After"] = "5"
    return response


def _json(said: Any, status: int = 200) -> Response:
    if isinstance(said, Response):  # a long message, which is sent as it comes
        return said
    return Response(orjson.dumps(said), status, content_type=UNARY)
