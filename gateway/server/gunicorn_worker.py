"""gunicorn's gevent worker: it reads fairly, and its own errors are problem documents too."""

from __future__ import annotations

import re
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.base import Worker
from gunicorn.workers.ggevent import GeventWorker

from gateway.middleware.answer_headers import HEADERS
from gateway.middleware.connection_limits import ClientConnections, Held
from gateway.process.slow_client_writes import PatientSocket
from gateway.process.time_shares import STRANGERS, work_for
from gateway.schemas.models import Problem
from gateway.server.ending_connections import linger
from gateway.server.modules_before_the_fork import patch_the_rest
from gateway.server.refusal_log import RefusalLog
from gateway.server.request_reading import HEAD_S, HeadTooSlow, Requests

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ([^\r]*)\r\n")

WRITE_LIMIT_S = 5.0

LAST_S = 3.0
"""Of the grace of a worker that is told to stop: connections that have not sent a request by then
end, so that there is time to answer those that have."""


class GatewayWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Reads requests fairly and within bounds, one connection like the other.

    What gunicorn refuses itself never reaches the application, and would be answered in HTML: an
    address of 30 kB, a broken header, a body whose framing is wrong.
    """

    write_timeout_s = 30.0
    """See `gateway.process.slow_client_writes`; gunicorn itself waits for ever."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._servers: list[StreamServer] = []
        self._connections: set[Requests] = set()

    def server_class(self, listener: Any, *, spawn: Any, **_unused: Any) -> StreamServer:
        """gunicorn makes its servers by this, as if it were a class."""
        # Asked now: requests are answered still when the listener is closed.
        name = listener.getsockname()
        server = StreamServer(listener, handle=partial(self.handle, name), spawn=spawn)
        if self.cfg.workers > 1:
            server.max_accept = 1
        self._servers.append(server)
        return server

    def take_no_more(self) -> None:
        """Leave what comes to other workers, and end connections that are between two requests.

        gunicorn itself accepts for up to another second, and waits for idle connections as for
        busy ones, to the end of the grace; whatever request has just come then is cut off.
        """
        for server in self._servers:
            server.close()
        for requests in self._connections:
            requests.end()
        gevent.spawn_later(self.cfg.graceful_timeout - LAST_S, self._wait_for_none)

    def _wait_for_none(self) -> None:
        for requests in self._connections:
            requests.end_wait()

    def patch(self) -> None:
        """In the place of gunicorn's own, which patches again what the master has patched."""
        patch_the_rest()
        self.sockets: list[Any] = [
            socket.socket(each.FAMILY, socket.SOCK_STREAM, fileno=each.sock.detach())
            for each in self.sockets
        ]

    def handle(self, listener_name: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end, and close it. In the place of gunicorn's own, which asks
        the listener for its name at each request."""
        client.setblocking(1)
        work_for(STRANGERS)
        # Answers are for clients that read. One object for the connection's whole life: by it the
        # guard, which finds it beside the request, tells whose connection this is.
        patient = PatientSocket(client, self.write_timeout_s)
        held = self._clients.enter(patient, addr[0] if isinstance(addr, tuple) else "")
        try:
            if self._serve(listener_name, client, addr, held):
                linger(client)
        except OSError as error:
            self.log.debug("a connection broke: %s", error)
        finally:
            self._clients.leave(held)
            client.close()

    @property
    def _clients(self) -> ClientConnections:
        # Not imported above: this module is read before the monkey-patching.
        from gateway.app import runtime_of

        return runtime_of(self.wsgi).base.clients

    def _serve(self, listener_name: Any, client: Any, addr: Any, held: Held) -> bool:
        """Answer request after request; whether the client may still be sending at the end."""
        requests, request = Requests(self.cfg, client, addr), None
        self._connections.add(requests)
        idle_s = HEAD_S
        try:
            while True:
                request = None
                request = requests.next_within(idle_s)
                if request is None:
                    return False
                held.is_busy = True
                self.handle_request(listener_name, request, held.socket, addr)
                held.is_busy = False
                idle_s = self.cfg.keepalive
                requests.give_way()  # what is pipelined is read already, and answers need no wait
        except (StopIteration, NoMoreData):
            held.is_busy = False
            return request is not None and not request.is_read
        except HeadTooSlow:
            _send(client, refusal(408, "Request Timeout"))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the top of a greenlet; it is logged there
            self.handle_error(request, client, addr, error)
        finally:
            self._connections.discard(requests)
        return True

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn decide, but log within a bound and answer as RFC 9457 says."""
        draft = _Draft()
        # All that it needs of a worker, but for the log.
        judge = SimpleNamespace(cfg=self.cfg, log=_refusal_log(self.log))
        Worker.handle_error(judge, req, draft, addr, exc)
        found = _STATUS_LINE.match(draft.written)
        if found is not None:
            _send(client, refusal(int(found[1]), found[2].decode("latin-1")))


@cache
def _refusal_log(log: Any) -> RefusalLog:
    """One for all connections of the worker."""
    return RefusalLog(log)


def _send(client: Any, answer: bytes) -> None:
    try:
        client.settimeout(WRITE_LIMIT_S)
        client.sendall(answer)
    except OSError:
        pass  # the client was gone


class _Draft:
    """Takes gunicorn's answer in the place of the client's socket."""

    def __init__(self) -> None:
        self.written = b""

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, _blocking: int) -> None:
        return

    def sendall(self, data: bytes) -> None:
        self.written += data

    def send(self, data: bytes) -> int:
        self.written += data
        return len(data)


def refusal(status: int, reason: str) -> bytes:
    """A whole HTTP answer with a problem document; the connection ends with it."""
    title = reason or "Error"
    code = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    if status >= 500:
        code, title = "internal_error", "Internal error"
    problem = Problem(
        type=f"urn:sandbox-gateway:problem:{code}",
        title=title,
        status=status,
        detail=title,
        code=code,
        message=title,
    )
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = {
        "Connection": "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        **HEADERS,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + body
