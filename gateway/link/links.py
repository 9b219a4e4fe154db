"""Which link serves which container in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import gevent
from gevent.lock import RLock

from gateway.errors import AgentMissing, GatewayError, SandboxFault
from gateway.link.link import Link
from gateway.link.redial import STEADY_S, Redial
from gateway.link.users import roots


@dataclass
class _Entry:
    users: int = 0
    wanted_until: float = 0.0
    """Monotonic seconds. So long it is kept even when nobody uses it."""
    end: gevent.Greenlet | None = None
    """Waits to drop it. It may wake while somebody uses it, and is not called off for that: each
    request would end one greenlet and begin another."""
    dialling: RLock = field(default_factory=RLock)
    link: Link | None = None
    made_at: float = 0.0
    """Monotonic seconds, of the link."""
    missing: AgentMissing | None = None
    attempts: int = 0
    failure: GatewayError | None = None
    """Of the last attempt."""
    drops: int = 0
    """How often its link was to be closed, or that which was just being made."""

    def stay(self) -> None:
        """Call off its end."""
        if self.end is not None:
            self.end.kill(block=False)
            self.end = None


class Links:
    """At most one link per container, open as long as somebody here uses the container, or has
    done so lately. Owns one greenlet for each link that waits for its end.

    `dial` makes a link to a container and raises what `gateway.link.dial.Dialler.agent` does.
    """

    def __init__(self, dial: Callable[[str], Link]) -> None:
        self._dial = dial
        self._entries: dict[str, _Entry] = {}
        self._redial = Redial()
        self._closed = False

    @contextmanager
    def using(self, container_id: str, linger_s: float = 0.0) -> Iterator[None]:
        """While anybody is inside, and `linger_s` seconds longer, the container's link stays open
        once it is made: who comes back soon need not wait for a new one.

        An exec and a process in the sandbox stand behind each link, so unused ones are closed.
        """
        entry = self._entries.setdefault(container_id, _Entry())
        entry.users += 1
        try:
            yield
        finally:
            entry.users -= 1
            entry.wanted_until = max(entry.wanted_until, time.monotonic() + linger_s)
            if not entry.users and self._entries.get(container_id) is entry:
                self._let_go(container_id, entry)

    def _let_go(self, container_id: str, entry: _Entry) -> None:
        left_s = entry.wanted_until - time.monotonic()
        if left_s > 0 and not self._closed:
            if entry.end is None:
                entry.end = gevent.spawn_later(left_s, self._end, container_id, entry)
        else:
            self.drop(container_id)

    def _end(self, container_id: str, entry: _Entry) -> None:
        entry.end = None
        if not entry.users and self._entries.get(container_id) is entry:
            self._let_go(container_id, entry)

    def get(self, container_id: str) -> Link:
        """The container's link, made anew if there is none or it is lost; only within `using`.

        Greenlets that ask at the same time share one attempt. That an image has no python3 is
        remembered. An agent whose links do not last is dialled more and more slowly
        (`gateway.link.redial`), and the caller waits for that.
        """
        entry = self._entries.get(container_id) or _Entry()
        link = entry.link
        if link is not None and not link.lost:
            link.works_for_the_caller()
            return link
        attempts = entry.attempts
        with entry.dialling:
            if entry.missing is not None:
                raise AgentMissing(entry.missing.detail)
            if entry.link is not None and not entry.link.lost:
                return entry.link
            if entry.failure is not None and entry.attempts > attempts:
                raise entry.failure  # of the attempt that this greenlet waited for
            if entry.link is not None:
                self._judge(container_id, entry, entry.link)
                entry.link = None
            entry.failure = None
            drops = entry.drops
            gevent.sleep(self._redial.wait_s(container_id))
            self._redial.dialled(container_id)
            try:
                link = self._dial(container_id)
            except AgentMissing as missing:
                entry.missing = missing
                raise
            except GatewayError as failure:
                entry.failure = failure
                if not isinstance(failure, SandboxFault):
                    self._redial.lasted(container_id)
                raise
            finally:
                entry.attempts += 1
            entry.link = link
            entry.made_at = time.monotonic()
            is_kept = self._entries.get(container_id) is entry and not self._closed
            if not is_kept or entry.drops != drops:
                link.close()  # dropped while it was being made: the caller finds it lost
            return link

    def alive(self, container_id: str) -> bool:
        """Whether there is a link that works, as far as is known."""
        entry = self._entries.get(container_id)
        return entry is not None and entry.link is not None and not entry.link.lost

    def drop(self, container_id: str) -> None:
        """Close the container's link, if there is one. Commands go on; whoever is within `using` is
        given a new one when it asks."""
        entry = self._entries.get(container_id)
        if entry is None:
            return
        entry.drops += 1
        if not entry.users:
            del self._entries[container_id]
            entry.stay()
        link, entry.link = entry.link, None
        if link is not None:
            self._judge(container_id, entry, link)
            link.close()

    def _judge(self, container_id: str, entry: _Entry, link: Link) -> None:
        if not link.lost or time.monotonic() - entry.made_at >= STEADY_S:
            self._redial.lasted(container_id)

    def close(self) -> None:
        """Close all, at once, and let none linger from now on. May be repeated."""
        self._closed = True
        for container_id in list(self._entries):
            self.drop(container_id)


def drop_everywhere(all_links: Sequence[Links], container_id: str) -> None:
    """Drop every link into a container, whatever and whomever it serves."""
    for links in all_links:
        links.drop(container_id)
        links.drop(roots(container_id))
