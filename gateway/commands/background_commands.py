"""What runs in a sandbox while no client is there."""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import gevent
from gevent.pool import Group

from gateway.engine.interface import Engine
from gateway.errors import (
    AgentMissing,
    ContainerGone,
    GatewayError,
    LinkLost,
    SandboxNotFound,
)
from gateway.link.ask import running_commands, wait_until_quiet
from gateway.link.links import Links
from gateway.link.users import ONLY_THE_USER, Users, parsed

log = logging.getLogger(__name__)

POLL_S = 1.0
"""How often the engine is asked about a sandbox without an agent."""

RETRY_S = 2.0
TRIES = 10
"""How often a sandbox or an engine that does not answer is asked before the watch ends."""

QUIET_S = 300.0
"""How long an agent may say nothing about what runs before it is asked whether it still answers."""

STEADY_S = 5.0
"""A link that breaks sooner counts as no answer."""


class Leases(Protocol):
    """Who gives and takes the right to use a sandbox."""

    def lease(self, sandbox_id: str, purpose: str) -> Any: ...

    def leave_running(self, lease: Any) -> None: ...

    def release(self, lease: Any) -> None: ...


class BackgroundCommandWatcher:
    """Watches sandboxes whose commands outlive their client. Owns one greenlet per watch, of which
    there is one per sandbox: who leaves commands in the background again and again would otherwise
    leave as many leases as long as the longest of them runs."""

    def __init__(
        self, links: Links, engine: Engine, leases: Leases, users: Users = ONLY_THE_USER
    ) -> None:
        self._users = users
        self._links = links
        self._engine = engine
        self._leases = leases
        self._watches = Group()
        self._left_again: dict[str, bool] = {}

    def busy(self, container_id: str) -> bool:
        """Whether a command runs in the sandbox. Raises SandboxFault and the engine's errors."""
        return any(self._is_busy(address) for address in self._addresses(container_id))

    def _addresses(self, container_id: str) -> list[str]:
        """Of all agents; where that cannot be found out now, what its user's says has to do."""
        try:
            return self._users.addresses(container_id)
        except GatewayError as error:
            log.info("container %.12s: whether it has root is not known: %s", container_id, error)
            return [container_id]

    def _is_busy(self, address: str) -> bool:
        with self._links.using(address):
            try:
                return running_commands(self._links.get(address)) > 0
            except AgentMissing:
                return self._engine.running_execs(parsed(address)[0]) > 0

    def watch(self, sandbox_id: str) -> gevent.Greenlet:
        """Hold a lease on the sandbox until nothing runs in it any more. Does not block; what it
        gives ends as soon as the lease is held, or cannot be had."""
        return self._watches.spawn(self._watch, sandbox_id)

    def keep(self, lease: Any) -> None:
        """Give a client's lease back once nothing runs in its sandbox, or at once where another
        is kept until then. Does not block."""
        if lease.sandbox_id in self._left_again:
            self._left_again[lease.sandbox_id] = True
            self._watches.spawn(self._give_back, lease)
        else:
            self._left_again[lease.sandbox_id] = False
            self._watches.spawn(self._release_when_quiet, lease)

    def _watch(self, sandbox_id: str) -> None:
        for _ in range(TRIES):
            try:
                lease = self._leases.lease(sandbox_id, "command")
            except SandboxNotFound:
                return
            except GatewayError as error:
                log.warning("cannot watch sandbox %s yet: %s", sandbox_id, error)
                gevent.sleep(RETRY_S)
            else:
                self.keep(lease)
                return

    def _release_when_quiet(self, lease: Any) -> None:
        """Killed, it leaves the lease: who takes over from this process will look what runs."""
        try:
            self._leases.leave_running(lease)
        except GatewayError as error:
            log.warning("a lease still counts as a client's: %s", error)
        try:
            self._wait_until_all_quiet(lease.container_id)
            while self._left_again[lease.sandbox_id]:
                # It may have been quiet before the command that was left began.
                self._left_again[lease.sandbox_id] = False
                self._wait_until_all_quiet(lease.container_id)
        except Exception:
            log.exception("watching sandbox %s failed", lease.sandbox_id)
        del self._left_again[lease.sandbox_id]
        self._give_back(lease)

    def _give_back(self, lease: Any) -> None:
        for _ in range(TRIES):
            try:
                self._leases.release(lease)
                return
            except GatewayError as error:
                log.warning("cannot give a lease back yet: %s", error)
                gevent.sleep(RETRY_S)

    def _wait_until_all_quiet(self, container_id: str) -> None:
        for address in self._addresses(container_id):
            with self._links.using(address):
                self._wait_until_quiet(address)

    def _wait_until_quiet(self, container_id: str) -> None:
        failures = 0
        while failures < TRIES:
            asked_at = time.monotonic()
            try:
                link = self._links.get(container_id)
                asked_at = time.monotonic()
                if wait_until_quiet(link, QUIET_S) or not running_commands(link):
                    return
                failures = 0
            except LinkLost:
                # `links` sees to it that the next one is not made at once, again and again.
                steady = time.monotonic() - asked_at >= STEADY_S
                failures = 0 if steady else failures + 1
            except AgentMissing:
                self._poll_execs(parsed(container_id)[0])
                return
            except ContainerGone:
                return
            except GatewayError as error:
                failures += 1
                log.warning("container %.12s does not say what it runs: %s", container_id, error)
                gevent.sleep(RETRY_S)

    def _poll_execs(self, container_id: str) -> None:
        try:
            while self._engine.running_execs(container_id) > 0:
                gevent.sleep(POLL_S)
        except GatewayError as error:
            log.warning("container %.12s: %s", container_id, error)

    def close(self) -> None:
        """End all watches; their leases end with this process. May be repeated."""
        self._watches.kill()
