"""Run, follow and steer commands over the link to the sandbox's agent.

A link that breaks is made anew and the command, which goes on meanwhile, is read further. When
the agent that ran it is gone its end cannot be known: CommandLost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from gateway.commands.command_metrics import CommandMetrics
from gateway.commands.flow_control import most_for
from gateway.commands.watches import Watch
from gateway.errors import (
    AgentUnavailable,
    CommandLost,
    EngineUnavailable,
    LinkLost,
    ProtocolBroken,
)
from gateway.identity.slots import Slots
from gateway.link.ask import ask
from gateway.link.channel import Channel, frames_for
from gateway.link.collector import EAGER_CREDIT, Collector
from gateway.link.exited import Exited
from gateway.link.follower import Follower, Started, window_of
from gateway.link.input import InputWriter
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.link.users import parsed
from gateway.process.byte_budget import Budget
from gateway.schemas.command_effects import CommandEffects
from gateway.schemas.command_event import CommandEvent
from gateway.schemas.command_result import Outcome
from gateway.use.place import Place
from gateway.use.sandbox_use import LINK_KEPT_S

FIRST_S = 3.0
AGAIN_S = 20.0
RETRY_S = 0.2
"""How long a link is tried to be made for a command that is to start, or that runs already."""

UNCOUNTED_BYTES = 8 * 1024
"""Results of this size are as small as what is held of a command anyway."""

MAX_LOSSES = 10
"""Of links in a row without progress. More is not an accident but an agent that wants it so."""

BROKEN_COUNTS = 4
"""So many losses is one by an agent that broke the protocol."""


def kept(links: Links, address: str) -> AbstractContextManager[None]:
    """Keep the link to an agent within the block. Whoever uses a sandbox keeps that of its user for
    as long; that of root's agent stays for the next command."""
    return links.using(address, LINK_KEPT_S if parsed(address)[1] else 0.0)


class ReconnectingLink:
    """The links of one command, one after the other, all to the same agent."""

    def __init__(self, links: Links, container_id: str, daemon: str | None = None) -> None:
        self._links = links
        self._container_id = container_id
        self.daemon = daemon
        self._losses = 0

    def link(self) -> Link:
        """A working link. Raises CommandLost when it leads to another agent than before.

        While a command runs, an agent or engine that cannot be reached is tried for a while.
        """
        deadline = time.monotonic() + (FIRST_S if self.daemon is None else AGAIN_S)
        while True:
            try:
                link = self._links.get(self._container_id)
                break
            except (AgentUnavailable, EngineUnavailable) as error:
                hopeless = self.daemon is None and isinstance(error, EngineUnavailable)
                if hopeless or time.monotonic() > deadline:
                    raise
                gevent.sleep(RETRY_S)
        if self.daemon not in (None, link.daemon):
            raise CommandLost("the agent that ran the command was killed")
        self.daemon = link.daemon
        return link

    def lost(self, why: LinkLost) -> None:
        """A link broke. Raises CommandLost when that happens again and again."""
        self._losses += BROKEN_COUNTS if isinstance(why, ProtocolBroken) else 1
        if self._losses > MAX_LOSSES:
            raise CommandLost("the link broke again and again") from why

    def progressed(self) -> None:
        """The link was good for something."""
        self._losses = 0


@contextmanager
def collect(
    links: Links,
    budget: Budget,
    place: Place,
    request: dict[str, Any],
    cap: int,
    daemon: str | None = None,
    handed_over: Event | None = None,
    eager: int = EAGER_CREDIT,
) -> Iterator[Outcome]:
    """The outcome of a command; within the block it counts against its owner's `budget`.

    `request` is a `run`, which starts the command if its key is new, or an `attach`. `daemon` is
    the agent that is known to run it. `handed_over` is set when the agent was asked for the first
    time. Raises AgentMissing before anything was started.
    """
    collector = Collector(request, cap, eager)
    reconnecting = ReconnectingLink(links, place.container_id, daemon)
    with kept(links, place.container_id), ExitStack() as held:
        while True:
            link = reconnecting.link()
            channel = None
            try:
                channel = link.open(collector, collector.message(), collector.credit)
                if handed_over is not None:
                    handed_over.set()
                to_grant = collector.wait_exit()
                if collector.kept_bytes > UNCOUNTED_BYTES:
                    held.pop_all().close()
                    held.enter_context(budget.hold(place.owner, collector.kept_bytes))
                for stream, size in to_grant.items():
                    channel.grant(stream, size, frames_for(size))
                collector.wait_complete()
                channel.forget()
                break
            except LinkLost as why:
                reconnecting.lost(why)
            finally:
                if channel is not None:
                    _cancel(channel)
        collected = collector.collected()
        yield Outcome(collected.exited, collected.pieces)


class Following:
    """A command that is being followed. Iterate over it, once; the attributes are set then.

    It takes one of its owner's `slots` then. `command_metrics` is told how it ends. `begin` does
    what a command needs that is to be started now; it gives the request, in the place of `request`,
    and its watch, which says the `effects` in the end.
    """

    def __init__(
        self,
        links: Links,
        place: Place,
        request: dict[str, Any],
        slots: Slots,
        offsets: tuple[int, int] = (0, 0),
        daemon: str | None = None,
        handed_over: Event | None = None,
        command_metrics: CommandMetrics | None = None,
        begin: Callable[[], tuple[dict[str, Any], Watch]] | None = None,
    ) -> None:
        self._begin = begin
        self.effects: CommandEffects | None = None
        self._command_metrics = command_metrics
        self._handed_over = handed_over
        self._reconnecting = ReconnectingLink(links, place.container_id, daemon)
        self.place = place
        self._owner, self._slots = place.owner, slots
        self._kept = partial(kept, links, place.container_id)
        self._request, self._offsets = request, offsets
        self.started: Started | None = None
        self.exited: Exited | None = None

    @property
    def daemon(self) -> str | None:
        """The agent that runs the command."""
        return self._reconnecting.daemon

    def __iter__(self) -> Iterator[CommandEvent]:
        """What happens, to the exit. `Started` comes once, whatever links break. Raises
        TooManyStreams."""
        metrics = self._command_metrics or nullcontext()
        with self._slots.one(self._owner), self._kept(), metrics:
            most = most_for(self._slots.taken(self._owner))
            if self._begin is None:
                yield from self._events(Follower(self._request, self._offsets), most)
                return
            request, watch = self._begin()
            self._reconnecting.daemon = watch.daemon
            with watch.until_told():
                yield from self._events(Follower(request, self._offsets), most)
                self.effects = watch.told()

    def _events(self, follower: Follower, most: int) -> Iterator[CommandEvent]:
        while True:
            link = self._reconnecting.link()
            channel = None
            try:
                window = min(window_of(link.channels), most)
                channel = link.open(follower, follower.message(window), follower.credit)
                if self._handed_over is not None:
                    self._handed_over.set()
                for event in follower.events(channel):
                    self._reconnecting.progressed()
                    if isinstance(event, Exited):
                        self.exited = event
                        if self._command_metrics is not None:
                            self._command_metrics.ended(event, follower.received)
                    if not isinstance(event, Started):
                        yield event
                    elif self.started is None:
                        link.keep_text(self, sum(map(sys.getsizeof, event.meta.values())))
                        self.started = event
                        yield event
                    if isinstance(event, Exited):
                        channel.forget()
                        return
            except LinkLost as why:
                self._reconnecting.lost(why)
            finally:
                if channel is not None:
                    _cancel(channel)


def _cancel(channel: Channel) -> None:
    try:
        channel.cancel()
    except LinkLost:
        pass  # then nothing is followed any more either


def write_with_retry(links: Links, container_id: str, writer: InputWriter) -> None:
    """Write input to a command, on a new link when one breaks. Raises what the agent refuses."""
    reconnecting = ReconnectingLink(links, container_id)
    with kept(links, container_id):
        while True:
            link = reconnecting.link()
            taken = writer.taken
            try:
                writer.over(link)
                return
            except LinkLost as why:
                if writer.taken > taken:
                    reconnecting.progressed()
                reconnecting.lost(why)


def call_with_retry(
    links: Links, container_id: str, operation: str, **arguments: Any
) -> dict[str, Any]:
    """One question to the agent, asked again on a new link when one breaks.

    Only for what may be done twice without harm. Raises what the agent refuses for.
    """
    reconnecting = ReconnectingLink(links, container_id)
    with kept(links, container_id):
        while True:
            link = reconnecting.link()
            try:
                return ask(link, operation, **arguments)
            except LinkLost as why:
                reconnecting.lost(why)
