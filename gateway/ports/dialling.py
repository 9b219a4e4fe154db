"""Connect to a port of a sandbox, by the shortest way there is, and say what listens."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from gateway.engine.interface import Engine
from gateway.errors import (
    AgentMissing,
    CommandLost,
    FeatureMissing,
    GatewayError,
    PortClosed,
    PortFailed,
)
from gateway.link.dial import Known
from gateway.link.links import Links
from gateway.logs.line_budget import bounded_log
from gateway.ports.agent_connection import AgentConnection
from gateway.ports.connection import Connection
from gateway.ports.kept_connections import KeptConnections
from gateway.ports.listeners import ListeningPort, ports_by_agent, ports_by_kernel
from gateway.ports.namespace_sockets import NamespaceSockets, NamespaceUnreachable

log = bounded_log(__name__)


class Ports:
    """The servers in sandboxes, for one worker. Owns the connections that are kept.

    A connection is made in the container's network namespace where the gateway may enter it, by
    which images need no agent; else the agent makes it. To be used within `Links.using`.
    """

    def __init__(
        self,
        links: Links,
        engine: Engine,
        known_of: Callable[[str], Known],
        *,
        directly: bool,
    ) -> None:
        self._links = links
        self._engine = engine
        self._known_of = known_of
        self._directly = directly
        self._sockets = NamespaceSockets()
        self._kept = KeptConnections()
        self._warming: set[str] = set()

    def connect(self, container_id: str, port: int) -> Connection:
        """A new connection; whoever asks for it closes it, or lets it be kept.

        Raises PortClosed with what listens instead, PortFailed for a server that does not accept,
        FeatureMissing where it takes an agent and the image has none, ContainerGone, and the
        engine's and the agent's errors.
        """
        pid = self._pid_to_enter(container_id)
        if pid is not None:
            try:
                found = self._sockets.connect(container_id, pid, port)
            except NamespaceUnreachable as error:
                log.debug("container %.12s: %s", container_id, error)
            except OSError as error:
                raise PortFailed(f"the server on port {port} does not accept: {error}") from None
            else:
                self._keep_link_ready(container_id)
                if found is None:
                    raise _closed(port, ports_by_kernel(pid))
                return found
        return self._connect_by_agent(container_id, port)

    def _connect_by_agent(self, container_id: str, port: int) -> Connection:
        try:
            link = self._links.get(container_id)
            return AgentConnection(link, port)
        except (AgentMissing, CommandLost) as error:
            # An agent of before that knows nothing of ports says so in words, and has no code.
            raise FeatureMissing(str(error)) from None
        except PortClosed:
            raise _closed(port, [one.port for one in ports_by_agent(link)]) from None

    def _pid_to_enter(self, container_id: str) -> int | None:
        if not (self._directly and self._engine.is_local()):
            return None
        known = self._known_of(container_id)
        return None if known.has_own_stack else known.pid

    def _keep_link_ready(self, container_id: str) -> None:
        """A link proves to the next request that the container runs: without one the engine is
        asked, which takes longer than all the rest."""
        if self._links.alive(container_id) or container_id in self._warming:
            return
        self._warming.add(container_id)
        gevent.spawn(self._warm, container_id)

    def _warm(self, container_id: str) -> None:
        try:
            with self._links.using(container_id):
                self._links.get(container_id)
        except GatewayError as error:
            log.debug("container %.12s has no link: %s", container_id, error)
        finally:
            self._warming.discard(container_id)

    def take_kept(self, container_id: str, port: int) -> Connection | None:
        """A connection that was kept, if there is one."""
        return self._kept.take(container_id, port)

    def keep(self, container_id: str, port: int, connection: Connection) -> None:
        """Take over a connection for the next request to the port."""
        self._kept.keep(container_id, port, connection)

    def listening(self, container_id: str) -> list[ListeningPort]:
        """What listens in a sandbox. Raises FeatureMissing where there is no agent, and what
        `connect` does."""
        try:
            return ports_by_agent(self._links.get(container_id))
        except (AgentMissing, CommandLost) as error:
            raise FeatureMissing(str(error)) from None

    def close(self) -> None:
        """Let go of everything. May be repeated."""
        self._kept.close()
        self._sockets.close()


def _closed(port: int, listening: list[int]) -> PortClosed:
    return PortClosed(f"nothing listens on port {port}", sorted(set(listening)))
