"""What is told of one process to one client, and how far that client has had it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

import gevent

from gateway.api.e2b import process_events
from gateway.api.e2b.client_reading import ClientReading
from gateway.api.e2b.client_socket import ClientSocket
from gateway.api.e2b.rpc_errors import TIME_IS_UP, RpcError
from gateway.api.e2b.rpc_streams import Last, Messages
from gateway.commands.command_spec import CommandSpec
from gateway.commands.delivery import Delivery
from gateway.errors import ContainerGone, SandboxFault, SandboxNotFound
from gateway.protocol import streams
from gateway.schemas.command_event import CommandEvent, Exited, Gap, Output, Started
from gateway.schemas.command_result import Outcome
from gateway.schemas.event_encoder import each_of
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUse, SandboxUses

TAIL_BYTES = 2048
"""Kept of each stream, for the history of the sandbox."""

LOOK_AGAIN_S = 0.05
"""After how long it is looked again whether a client has taken what was written: Linux acknowledges
within 40 ms, unless there is something to send along with it."""

ENDING_S = 5.0
LOOK_S = 0.1
"""How long a sandbox whose container has gone may take to be known as ended, and how often that is
looked at."""

_INDEX = {streams.STDOUT: 0, streams.STDERR: 1}

Events = Any
"""What `Commands.follow` gives: it is iterated once."""


class Commands(Protocol):
    """What is asked of `gateway.commands.run_and_steer.Commands`."""

    def delivery(self, place: Place, key: str, offsets: tuple[int, int]) -> Delivery: ...

    def ended(self, place: Place, spec: CommandSpec, outcome: Outcome) -> None: ...


class Story:
    """Tells one client of one process; `messages` once. `spec` is what the process is started with;
    None for one that runs already."""

    def __init__(self, commands: Commands, client: ClientSocket, spec: CommandSpec | None) -> None:
        self._commands = commands
        self._client = client
        self._spec = spec
        self._reading: ClientReading | None = None
        self._delivery: Delivery | None = None
        self._looking: gevent.Greenlet | None = None
        self._offsets = [0, 0]
        self._tails = [b"", b""]
        self._on_terminal = False
        self._pid: int | None = None

    def messages(
        self, uses: SandboxUses, sandbox_id: str, begin: Callable[[Place], Events]
    ) -> Messages:
        """Everything, to the end of the process. What `begin` gives is followed. Whatever becomes
        of the client, the process goes on."""
        with ExitStack() as held:
            try:
                use = held.enter_context(uses.of(sandbox_id))
                use.may_run = True
                with each_of(begin(use.place)) as events:
                    for event in events:
                        yield from self._about(event, use)
            except (ContainerGone, SandboxFault):
                _wait_for_the_end(uses, sandbox_id)
                raise
            finally:
                self._close()

    def _about(self, event: CommandEvent, use: SandboxUse) -> Messages:
        if isinstance(event, Started):
            self._began(event, use.place)
            if event.pid is not None:
                yield process_events.started(event.pid)
        elif isinstance(event, Exited):
            use.may_run = False
            yield self._last(event, use.place)
        elif isinstance(event, Output):
            yield from self._output(event)
        else:
            yield from self._gap(event)

    def _began(self, event: Started, place: Place) -> None:
        self._pid = event.pid
        self._on_terminal = event.terminal
        self._offsets = list(event.offsets)
        key = self._spec.key if self._spec is not None else event.meta.get("key")
        if isinstance(key, str):
            self._reading = ClientReading(self._client, event.offsets)
            self._delivery = self._commands.delivery(place, key, event.offsets)

    def _output(self, event: Output) -> Messages:
        index = _INDEX[event.stream]
        self._tails[index] = (self._tails[index] + event.data[-TAIL_BYTES:])[-TAIL_BYTES:]
        for envelope, up_to in process_events.output(event, on_terminal=self._on_terminal):
            yield envelope
            self._wrote(len(envelope), index, up_to)

    def _gap(self, event: Gap) -> Messages:
        yield process_events.gap(event, on_terminal=self._on_terminal)
        self._wrote(0, _INDEX[event.stream], event.end)

    def _last(self, event: Exited, place: Place) -> Last:
        if self._spec is not None:
            tails = tuple([tail] if tail else [] for tail in self._tails)
            self._commands.ended(place, self._spec, Outcome(event, (tails[0], tails[1])))
        if event.failure is not None and self._pid is None:
            raise RpcError("invalid_argument", event.failure)
        if event.timed_out and self._spec is not None:
            raise RpcError("deadline_exceeded", TIME_IS_UP)
        if self._reading is not None:
            self._reading.complete()
            self._tell()  # before the client knows of the end, and may come back
        return Last(process_events.ended(event))

    # --- what the client has had -----------------------------------------------------------------

    def _wrote(self, size: int, index: int, up_to: int) -> None:
        self._offsets[index] = up_to
        if self._reading is not None:
            self._reading.wrote(size, (self._offsets[0], self._offsets[1]))
            self._tell()

    def _tell(self) -> None:
        if self._reading is None or self._delivery is None:
            return
        self._delivery.up_to(self._reading.offsets)
        if self._reading.is_behind and self._looking is None:
            self._looking = gevent.spawn_later(LOOK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._looking = None
        if self._reading is not None:
            self._reading.look()
            self._tell()

    def _close(self) -> None:
        if self._reading is not None and self._delivery is not None:
            self._reading.look()
            self._delivery.up_to(self._reading.offsets)
            self._delivery.close()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.kill(block=False)


def _wait_for_the_end(uses: SandboxUses, sandbox_id: str) -> None:
    """Raises SandboxNotFound as soon as it is known that the sandbox has ended."""
    for _ in range(int(ENDING_S / LOOK_S)):
        if uses.end_of(sandbox_id) is not None:
            raise SandboxNotFound(sandbox_id)
        gevent.sleep(LOOK_S)
