"""One client on a WebSocket: its requests in, its results out."""

from __future__ import annotations

import base64
import binascii
import time
from collections import deque
from collections.abc import Callable

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group, Pool

from gateway.api.ws import frames
from gateway.api.ws.frames import Message, UnreadableRequest
from gateway.api.ws.message_cost import cost_of_command
from gateway.api.ws.peer import INTERNAL_ERROR, Peer
from gateway.api.ws.stdin_queue import StdinQueues
from gateway.commands.command_spec import CommandSpec, request_id_of
from gateway.commands.run_and_steer import Commands
from gateway.errors import (
    BadRequest,
    CommandNotFound,
    ContainerGone,
    GatewayError,
    RateLimited,
    RequestIdInUse,
    StdinFull,
    TooManyCommands,
    TooMuchQueued,
)
from gateway.logs.line_budget import bounded_log
from gateway.process.byte_budget import Holding
from gateway.process.time_shares import wait_for_share
from gateway.schemas.event_encoder import EventEncoder
from gateway.schemas.json_in_threads import read_aside
from gateway.schemas.models import (
    AttachMessage,
    CommandList,
    CommandRequest,
    PingMessage,
    Pong,
    ResizeMessage,
    SignalMessage,
    StdinMessage,
)
from gateway.use.place import Place

log = bounded_log(__name__)

MAX_RUNNING = 128
"""Commands of one connection that run at a time; more wait their turn."""

MAX_WAITING = 4096
MAX_WAITING_BYTES = 16 * 1024 * 1024
"""Of messages whole, with what the gateway makes of them (`message_cost`)."""

CUT_OFF_REMEMBERED = 1024
"""Commands of which some input was refused."""

MAX_CONTROL_REQUESTS = 64
"""Attachments, signals and the like under way at a time; then the connection is not read on."""

START_LIMIT_S = 20.0
"""How long input and signals for a command of this connection wait for it to start, and how long a
connection whose client has gone waits to hand its last commands over."""


class Connection:
    """Serves one client's commands until it leaves, or is closed from another greenlet.

    `resume` resumes the sandbox, where it is known to be paused. `held` is what the client may make
    the gateway hold of its messages; whoever made it closes it.
    """

    def __init__(
        self,
        peer: Peer,
        place: Place,
        commands: Commands,
        resume: Callable[[], None],
        held: Holding,
    ) -> None:
        self._peer = peer
        self._resume = resume
        self._outbox = peer.outbox
        self._place = place
        self._commands = commands.for_one_client()
        self._own: dict[str, int] = {}
        self._specs: set[CommandSpec] = set()
        self._running = Group()
        self._control_requests = Pool(MAX_CONTROL_REQUESTS)
        self._held = held
        self._input = StdinQueues(self._write_stdin, held, lambda: peer.connected)
        self._cut_off: dict[str, None] = {}
        self._waiting: deque[tuple[str, CommandRequest, int]] = deque()
        self._waiting_bytes = 0
        self._listing = BoundedSemaphore(1)
        peer.before_end = self._fail_all

    def serve(self) -> bool:
        """Take requests until the connection ends; whether commands were still running then."""
        try:
            for message in self._peer.messages():
                wait_for_share()
                self._take(message)
        except Exception:
            log.exception("serving a WebSocket failed")
            self._peer.close(INTERNAL_ERROR)
        had_running = len(self._running) > 0
        self._waiting.clear()
        self._hand_over()
        self._input.close()
        self._control_requests.kill()
        self._running.kill()
        return had_running

    def _fail_all(self) -> None:
        """The sandbox has gone: every command that has not been answered is, now."""
        self._waiting.clear()
        self._running.kill()
        unanswered, self._own = self._own, {}
        for request_id, times in unanswered.items():
            for _ in range(times):
                self._outbox.send_error(ContainerGone(), request_id)

    def _hand_over(self) -> None:
        """What was sent right before the client left is started all the same."""
        gevent.sleep(0)  # those that were spawned just now get their turn
        with gevent.Timeout(START_LIMIT_S, False):
            while not all(spec.handed_over.is_set() for spec in self._specs):
                gevent.sleep(0.005)

    # --- requests ------------------------------------------------------------------------------

    def _take(self, frame: str | bytes) -> None:
        try:
            message = read_aside(frame, lambda: frames.parse_message(frame))
            if not isinstance(message, PingMessage):
                self._peer.count()
                self._peer.asks()
        except UnreadableRequest as error:
            self._outbox.send_error(error, error.request_id)
            return
        except RateLimited as error:
            self._outbox.send_error(error, message.request_id)
            return
        if isinstance(message, CommandRequest):
            cost = cost_of_command(frame, message)
            self._take_command(request_id_of(message.request_id), message, cost)
        elif isinstance(message, StdinMessage):
            self._take_input(message)
        else:
            self._control_requests.spawn(
                self._reporting, message.request_id, self._run_control_request, message
            )

    def _take_command(self, request_id: str, request: CommandRequest, cost: int) -> None:
        has_to_wait = len(self._running) >= MAX_RUNNING
        if request_id in self._own and not request.once:
            self._outbox.send_error(RequestIdInUse(), request_id)
        elif has_to_wait and (
            len(self._waiting) >= MAX_WAITING or self._waiting_bytes + cost > MAX_WAITING_BYTES
        ):
            self._outbox.send_error(TooManyCommands(), request_id)
        elif not (taken := self._held.try_take(cost)):
            self._outbox.send_error(TooMuchQueued(), request_id)
        elif has_to_wait:
            self._own[request_id] = self._own.get(request_id, 0) + 1
            self._waiting.append((request_id, request, taken))
            self._waiting_bytes += taken
        else:
            self._start(request_id, request, taken)

    def _start(self, request_id: str, request: CommandRequest, taken: int) -> None:
        self._own[request_id] = self._own.get(request_id, 0) + 1
        self._cut_off.pop(request_id, None)
        self._peer.note("command_start", request_id=request_id)
        self._running.spawn(self._run, request_id, request, taken)

    def _run(self, request_id: str, request: CommandRequest, taken: int) -> None:
        self._reporting(request_id, self._run_command, request_id, request)
        self._held.give_back(taken)
        self._disown(request_id)
        if self._waiting and self._peer.connected:
            next_id, waiting, size = self._waiting.popleft()
            self._waiting_bytes -= size
            self._disown(next_id)
            self._start(next_id, waiting, size)

    def _disown(self, request_id: str) -> None:
        left = self._own.get(request_id, 0) - 1
        if left > 0:
            self._own[request_id] = left
        else:
            self._own.pop(request_id, None)

    def _reporting(
        self, request_id: str | None, work: Callable[..., None], *arguments: object
    ) -> None:
        """Do `work`; tell the client, under the request's id, when it fails."""
        try:
            work(*arguments)
        except OSError:
            self._peer.wake()  # the client is gone: so will the connection be
        except GatewayError as error:
            self._outbox.send_error(error, request_id)
        except Exception as error:
            log.exception("serving a request failed")
            self._outbox.send_error(GatewayError(type(error).__name__), request_id)

    def _run_command(self, request_id: str, request: CommandRequest) -> None:
        self._resume()
        spec = self._commands.spec(request, request_id)
        self._specs.add(spec)
        try:
            self._run_spec(request_id, request, spec)
        finally:
            self._specs.discard(spec)

    def _run_spec(self, request_id: str, request: CommandRequest, spec: CommandSpec) -> None:
        if request.stream:
            followed = self._commands.follow(self._place, spec)
            self._outbox.send_events(EventEncoder(request_id, spec.encoding), followed)
            result = self._commands.outcome(self._place, followed, spec=spec)
        else:
            result = self._commands.run(self._place, spec)
        with result as message:
            self._outbox.send_result(message)

    # --- messages besides commands -------------------------------------------------------------

    def _run_control_request(self, message: Message) -> None:
        if isinstance(message, PingMessage):
            self._outbox.send_message(Pong(type="pong", request_id=message.request_id))
            return
        self._resume()
        if isinstance(message, AttachMessage):
            self._attach(message)
        elif isinstance(message, SignalMessage):
            self._once_started(
                message.request_id,
                lambda: self._commands.send_signal(self._place, message.request_id, message.signal),
            )
        elif isinstance(message, ResizeMessage):
            self._once_started(
                message.request_id,
                lambda: self._commands.resize(
                    self._place, message.request_id, message.cols, message.rows
                ),
            )
        else:
            with self._listing:  # of thousands of commands it is megabytes
                listed = self._commands.list(self._place)
                self._outbox.send_message(CommandList(type="commands", commands=listed))

    def _attach(self, message: AttachMessage) -> None:
        offsets = (message.stdout, message.stderr)
        request_id = message.request_id
        followed = self._commands.attach(self._place, request_id, offsets)
        encoder = EventEncoder(request_id, message.encoding, offsets)
        self._outbox.send_events(encoder, followed)
        with self._commands.outcome(self._place, followed, encoding=message.encoding) as result:
            self._outbox.send_result(result)

    def _take_input(self, message: StdinMessage) -> None:
        try:
            data = _bytes_of(message)
        except BadRequest as error:
            self._outbox.send_error(error, message.request_id)
            return
        self._reporting(message.request_id, self._put, message.request_id, data, message.eof)

    def _put(self, request_id: str, data: bytes, eof: bool) -> None:
        """Queue input. Where some was refused, none that follows may be written: the client could
        not know where the gap is."""
        if request_id in self._cut_off:
            raise StdinFull()
        try:
            self._input.put(request_id, data, eof)
        except GatewayError:
            self._cut_off[request_id] = None
            while len(self._cut_off) > CUT_OFF_REMEMBERED:
                del self._cut_off[next(iter(self._cut_off))]
            raise

    def _write_stdin(self, request_id: str, data: bytes, eof: bool) -> None:
        def write() -> None:
            self._resume()
            self._commands.write_stdin(
                self._place, request_id, data, eof, lambda: self._input.moved(request_id)
            )

        self._reporting(request_id, self._once_started, request_id, write)

    def _once_started(self, request_id: str, work: Callable[[], None]) -> None:
        """Do `work` on a command. One of this connection may still be on its way to the agent."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                work()
                return
            except CommandNotFound:
                if request_id not in self._own or time.monotonic() > deadline:
                    raise
            gevent.sleep(0.01)


def _bytes_of(message: StdinMessage) -> bytes:
    if message.encoding == "utf-8":
        return message.data.encode()
    try:
        return base64.b64decode(message.data, validate=True)
    except binascii.Error as error:
        raise BadRequest(f"data: {error}") from None
