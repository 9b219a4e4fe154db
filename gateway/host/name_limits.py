"""Bounds on what a sandbox may ask the engine's resolver, set in the sandbox's network namespace.

The engine answers at 127.0.0.11 in each container of a network that it made, in its own process:
outside of the sandbox's limits. Packets to there never leave the namespace, so no rule of the host
sees them. What else stays on the loopback, or leaves by the interface, is not tracked there: the
kernel's table of connections is nobody's memory, and the engine's address translation needs it for
its own address only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from gateway.errors import HostToolFailed
from gateway.host import programs

log = logging.getLogger(__name__)

BURST_S = 10
"""A sandbox that was silent for so long may ask for all of it at once."""

CONNECTIONS = 8
"""Over TCP, to the engine's resolver: each is a descriptor of the engine's."""

_QUERY_BYTES = 50
"""Over TCP many queries fit into a packet, so that bytes are counted. A query has some 40."""

_RESOLVER = "127.0.0.11/32"


class Container(Protocol):
    """One that has just been started."""

    @property
    def pid(self) -> int | None: ...

    @property
    def ip_address(self) -> str | None: ...


class NameLimits:
    """Limits the queries per second of each sandbox, on average; 0 is no limit.

    `hindrance` says why this process may set no rules in containers' namespaces, None where it may.
    """

    def __init__(self, queries_per_s: int, hindrance: Callable[[], str | None]) -> None:
        self._rules = rules(queries_per_s) if queries_per_s else ""
        self._hindrance = hindrance
        self._tried = False
        self._failure: str | None = None

    def before_start(self, container: Container) -> None:
        """Its namespace is not there yet."""

    def after_start(self, container: Container) -> None:
        """Its first process only sleeps: nothing has been asked for. Raises HostToolFailed."""
        if container.pid is None or container.ip_address is None or self.missing() is not None:
            return
        programs.run(["nsenter", f"--net=/proc/{container.pid}/ns/net", *_RESTORE], self._rules)

    def missing(self) -> str | None:
        """Why queries are not limited; None when they are. Raises HostToolFailed when that cannot
        be found out now."""
        if not self._rules:
            return "queries for names are not limited (SANDBOX_NAME_RATE=0)"
        hindrance = self._hindrance()
        if hindrance is not None:
            return f"queries for names are not limited: {hindrance}"
        if not self._tried:
            self._failure = self._try()
            self._tried = True
            if self._failure is not None:
                log.warning("%s", self._failure)
        return self._failure

    def _try(self) -> str | None:
        """In a namespace that ends with the program: not every kernel has all that it takes."""
        try:
            programs.run(["unshare", "--net", *_RESTORE], self._rules)
        except programs.TookTooLong:
            raise
        except HostToolFailed as error:
            return f"queries for names are not limited: {error}"
        return None


def hindrance_of(*, local: bool) -> str | None:
    """Why no rules can be set in containers' namespaces. `local`: the engine is on this host."""
    if not local:
        return "the engine is on another host"
    if not programs.is_root():
        return "only root enters the network of a container"
    for program in ("iptables-restore", "nsenter"):
        if programs.find(program) is None:
            return f"{program} is not installed"
    return None


_RESTORE = ["iptables-restore", "--noflush", "-w", "5"]


def rules(queries_per_s: int) -> str:
    """What iptables-restore(8) is given.

    What is beyond the limit is not tracked, so that it makes no entry and is not translated, and is
    dropped where it comes in: dropped where it goes out, send(2) would fail, and resolvers give up
    at once in the place of asking again.
    """
    burst = queries_per_s * BURST_S
    bytes_per_s, bytes_at_once = queries_per_s * _QUERY_BYTES, burst * _QUERY_BYTES
    to_it, from_it = f"-d {_RESOLVER}", f"-s {_RESOLVER}"
    at_most = f"-m limit --limit {queries_per_s}/sec --limit-burst {burst} -j ACCEPT"
    untracked = "-m conntrack --ctstate UNTRACKED -j DROP"
    return "\n".join(
        [
            "*raw",
            f"-A OUTPUT {to_it} -p udp {at_most}",
            f"-A OUTPUT {to_it} -p tcp -m hashlimit --hashlimit-upto {bytes_per_s}b/s "
            f"--hashlimit-burst {bytes_at_once}b --hashlimit-name sgw-names -j ACCEPT",
            # Its answers, and what a sandbox sends that has bound a socket to this address.
            f"-A OUTPUT {from_it} -p tcp -m hashlimit --hashlimit-upto {10 * bytes_per_s}b/s "
            f"--hashlimit-burst {10 * bytes_at_once}b --hashlimit-name sgw-told -j ACCEPT",
            f"-A OUTPUT {from_it} -p udp {at_most}",
            "-A OUTPUT -j CT --notrack",
            "-A PREROUTING -j CT --notrack",
            "COMMIT",
            "*filter",
            f"-A OUTPUT {to_it} -p tcp --syn -m connlimit --connlimit-above {CONNECTIONS} "
            "--connlimit-mask 0 -j REJECT --reject-with tcp-reset",
            f"-A INPUT {to_it} {untracked}",
            f"-A INPUT {from_it} {untracked}",
            "COMMIT",
            "",
        ]
    )
