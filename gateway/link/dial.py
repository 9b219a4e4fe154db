"""Make links to the agents in containers: directly where that is possible, else by docker exec."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gevent

from gateway.engine.container_hardening import ROOT_USER
from gateway.engine.interface import Engine
from gateway.errors import (
    AgentUnavailable,
    ContainerGone,
    EngineFault,
    EngineRefused,
    FeatureMissing,
    GatewayError,
    LinkLost,
)
from gateway.link import bundle, direct
from gateway.link.ask import ANSWER_S, ask
from gateway.link.bulk import Bulk
from gateway.link.dialect import DIALECTS
from gateway.link.handshake import shake_hands
from gateway.link.link import Link
from gateway.link.users import parsed
from gateway.protocol import frames

log = logging.getLogger(__name__)

DIAL_LIMIT_S = 15.0
DIRECT_LIMIT_S = 3.0

CODE_START_S = 60.0
"""IPython and what is imported in advance take a second, and on a busy host many."""


@dataclass(frozen=True)
class Known:
    """What is known of a container before its agent is asked.

    `pid` is that of its first process on the engine's host; None: not known. `limits` are what its
    agent is told (`agent.retention.Limits`). `user` is whom its agent and its commands run as,
    `uid:gid`. `has_own_stack`: its network is not the host kernel's (gVisor), so that only its
    agent reaches it.
    """

    pid: int | None
    limits: dict[str, float]
    user: str
    has_own_stack: bool = False
    has_root: bool = False
    """Whether root's agent runs beside that of the user."""
    is_root: bool = False
    """Whether this is for root's agent, and `user` is root."""

    @property
    def uid(self) -> int:
        return int(self.user.split(":")[0])

    def for_root(self) -> Known:
        """The same, as it is for root's agent."""
        return replace(self, user=ROOT_USER, is_root=True)


class Dialler:
    """Reaches the agents in containers, by the shortest way there is.

    `known_of` may raise the engine's errors. Without `directly`, all goes by docker exec.
    `links_changed` is told how many more links are open: 1 or -1.
    """

    def __init__(
        self,
        engine: Engine,
        known_of: Callable[[str], Known],
        links_changed: Callable[[int], None],
        *,
        directly: bool,
    ) -> None:
        self._engine = engine
        self._known_of = known_of
        self._links_changed = links_changed
        self._directly = directly

    def goes_directly(self) -> bool:
        """Whether the direct way is tried: it takes no exec."""
        return self._directly and self._engine.is_local()

    def agent(self, address: str) -> Link:
        """Start or find an agent (`gateway.link.users`), shake hands and tell it its limits. With
        that of the user root's is started, for `sudo`.

        Raises ContainerGone and the engine's errors, AgentMissing when the image has no python3,
        and AgentUnavailable when the agent does not come up within `DIAL_LIMIT_S` seconds.
        """
        container_id, known = self._known(address)
        link = self._linked(container_id, known)
        _configure(link, known.limits)
        link.count(self._links_changed)
        if known.has_root and not known.is_root:
            self._start_root(container_id, known.for_root())
        return link

    def _known(self, address: str) -> tuple[str, Known]:
        container_id, is_root = parsed(address)
        known = self._known_of(container_id)
        return container_id, known.for_root() if is_root else known

    def _linked(self, container_id: str, known: Known) -> Link:
        names = bundle.ROOT_NAMES if known.is_root else bundle.NAMES
        pid = self._pid(container_id, known)
        link = None if pid is None else _dial_directly(container_id, pid, known.uid, names)
        if link is None:
            packed = bundle.bundle_for_root() if known.is_root else bundle.bundle()
            link = self._by_exec(container_id, known.user, names, packed)
            # The agent runs now, if it did not before.
            better = None if pid is None else _dial_directly(container_id, pid, known.uid, names)
            if better is not None:
                link.close()
                link = better
        return link

    def _start_root(self, container_id: str, known: Known) -> None:
        """The user's commands go on without it; root's, which need it, tell what is wrong."""
        try:
            self._linked(container_id, known).close()
        except GatewayError as error:
            log.info("container %.12s: root's agent does not start: %s", container_id, error)

    def files(self, address: str, agent: Link) -> Link:
        """A link to the process that serves files, which `agent`, a link to the agent, starts
        unless it runs. Raises what `agent` does, LinkLost, and FeatureMissing for an agent of an
        earlier version."""
        container_id, known = self._known(address)
        name, program = bundle.file_program(for_root=known.is_root)
        _start(agent, "files", name, program)
        return self._beside_agent(container_id, known, name)

    def contexts(self, container_id: str, agent: Link) -> Link:
        """Likewise, to the process that serves code contexts. Raises FeatureMissing also where the
        image has none."""
        name = bundle.CONTEXT_SOCKET
        _start(agent, "code", name, bundle.context_program(), within_s=CODE_START_S)
        return self._beside_agent(container_id, self._known_of(container_id), name)

    def warm_contexts(self, agent: Link) -> None:
        """Start that process in advance, where the image is made for it. Raises as `contexts`
        does."""
        name, program = bundle.CONTEXT_SOCKET, bundle.context_program()
        _start(agent, "code", name, program, within_s=CODE_START_S, if_kept_warm=True)

    def _beside_agent(self, container_id: str, known: Known, name: str) -> Link:
        pid = self._pid(container_id, known)
        link = None
        if pid is not None:
            link = _dial_directly(container_id, pid, known.uid, (name,), direct.BULK_BYTES)
        if link is None:
            packed = bundle.bundle_for_files()
            link = self._by_exec(container_id, known.user, (name,), packed)
        link.count(self._links_changed)
        return link

    def bulk(self, address: str, message: dict[str, Any]) -> Bulk:
        """A connection of its own for one large transfer. Raises AgentUnavailable where there is
        no direct way, LinkLost, and what the operation is refused for."""
        container_id, known = self._known(address)
        if not self.goes_directly() or known.pid is None:
            raise AgentUnavailable("there is no direct way")
        name, _ = bundle.file_program(for_root=known.is_root)
        return Bulk(container_id, known.pid, known.uid, name, message)

    def _pid(self, container_id: str, known: Known) -> int | None:
        """None where there is no direct way. Raises ContainerGone."""
        if not self.goes_directly():
            return None
        pid = known.pid or self._engine.inspect(container_id).pid
        if pid is None:
            raise ContainerGone(f"container {container_id:.12} does not run")
        return pid

    def _by_exec(self, container_id: str, user: str, names: tuple[str, ...], packed: bytes) -> Link:
        try:
            return _dial_by_exec(self._engine, container_id, user, names, packed)
        except (AgentUnavailable, EngineRefused):
            # That a container has just stopped, the engine says in many ways, or on the stream.
            if self._engine.inspect(container_id).state not in ("running", "paused"):
                raise ContainerGone(f"container {container_id:.12} does not run") from None
            raise


def _start(
    agent: Link,
    operation: str,
    name: str,
    program: bytes,
    *,
    within_s: float = ANSWER_S,
    **more: Any,
) -> None:
    """Have the agent start a process of its own that serves at `name`."""
    if agent.dialect is not DIALECTS[frames.PROTOCOL]:
        raise FeatureMissing("the sandbox's agent is of an earlier version")
    ask(agent, operation, within_s=within_s, name=name, body=program, **more)  # `frames.BODY`


def _dial_directly(
    container_id: str,
    pid: int,
    uid: int,
    names: tuple[str, ...] = bundle.NAMES,
    receive_bytes: int = direct.RECEIVE_BYTES,
) -> Link | None:
    """None where there is no direct way, or no agent yet."""
    stream = None
    try:
        with gevent.Timeout(DIRECT_LIMIT_S, AgentUnavailable("no direct answer in time")):
            stream = direct.connect(container_id, pid, uid, names, receive_bytes)
            return shake_hands(stream)
    except (AgentUnavailable, LinkLost) as error:
        log.debug("container %.12s: %s", container_id, error)
    except BaseException:
        if stream is not None:
            stream.close()
        raise
    if stream is not None:
        stream.close()
    return None


def _dial_by_exec(
    engine: Engine, container_id: str, user: str, names: tuple[str, ...], packed: bytes
) -> Link:
    stream = engine.open_stream(container_id, bundle.argv(names), user)
    try:
        with gevent.Timeout(DIAL_LIMIT_S, AgentUnavailable("the agent did not answer in time")):
            stream.send(packed)
            return shake_hands(stream)
    except EngineFault as error:
        stream.close()
        raise AgentUnavailable(str(error)) from error
    except BaseException:
        stream.close()
        raise


def _configure(link: Link, configuration: dict[str, float]) -> None:
    try:
        with gevent.Timeout(DIAL_LIMIT_S, AgentUnavailable("the agent did not answer in time")):
            ask(link, "configure", **configuration)
    except GatewayError as error:
        link.close()
        raise AgentUnavailable(str(error)) from error
