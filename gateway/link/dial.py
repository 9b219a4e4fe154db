"""Make one link to a container's agent: directly where that is possible, else by docker exec."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from gateway.engine.interface import Engine, ExecStream
from gateway.errors import (
    AgentMissing,
    AgentUnavailable,
    ContainerGone,
    EngineFault,
    EngineRefused,
    FeatureMissing,
    GatewayError,
    LinkLost,
)
from gateway.link import bundle, direct
from gateway.link.ask import ask
from gateway.link.dialect import DIALECTS
from gateway.link.direct import DirectStream
from gateway.link.incoming import Incoming, decode_json
from gateway.link.link import Link
from gateway.process.giving_way import Turn
from gateway.protocol import frames

log = logging.getLogger(__name__)

DIAL_LIMIT_S = 15.0
DIRECT_LIMIT_S = 3.0

_NO_PYTHON = (b"executable file not found", b"no such file or directory")
"""How the engine says on the stream that `python3` is not in the image."""


_DAEMON = re.compile(r"[A-Za-z0-9-]{1,64}")
"""Names a process of an agent; it is kept in the store."""


@dataclass(frozen=True)
class Known:
    """What is known of a container before it is asked. `pid` is that of its first process on the
    engine's host; None: not known. `limits` are what its agent is told
    (`agent.retention.Limits`). `user` is whom its agent runs as, `uid:gid`."""

    pid: int | None
    limits: dict[str, float]
    user: str


def dial(
    engine: Engine,
    container_id: str,
    *,
    directly: bool,
    known_of: Callable[[str], Known],
) -> Link:
    """Start or find the agent, shake hands and tell it its limits.

    With `directly`, the direct way is taken where there is one. Raises ContainerGone and the
    engine's errors, AgentMissing when the image has no python3, and AgentUnavailable when the
    agent does not come up within `DIAL_LIMIT_S` seconds.
    """
    known = known_of(container_id)
    user = known.user
    pid = None
    if directly and engine.is_local():
        pid = known.pid or _pid_of(engine, container_id)
    link = None if pid is None else _dial_directly(container_id, pid, user)
    if link is None:
        link = _dial_by_exec(engine, container_id, user, bundle.NAMES, bundle.bundle())
        # The agent runs now, if it did not before.
        better = None if pid is None else _dial_directly(container_id, pid, user)
        if better is not None:
            link.close()
            link = better
    _configure(link, known.limits)
    return link


def _pid_of(engine: Engine, container_id: str) -> int:
    container = engine.inspect(container_id)
    if container.pid is None:
        raise ContainerGone(f"container {container_id:.12} does not run")
    return container.pid


def dial_files(
    engine: Engine,
    container_id: str,
    *,
    directly: bool,
    known_of: Callable[[str], Known],
    agent: Link,
) -> Link:
    """A link to the process that serves files, which `agent`, a link to the agent, starts unless
    it runs. Raises what `dial` does, LinkLost, and FeatureMissing for an agent of an earlier
    version."""
    if agent.dialect is not DIALECTS[frames.PROTOCOL]:
        raise FeatureMissing("the sandbox's agent is of an earlier version")
    known = known_of(container_id)
    name, program = bundle.file_program()
    ask(agent, "files", name=name, body=program)  # `frames.BODY`
    link = None
    if directly and engine.is_local():
        pid = known.pid or _pid_of(engine, container_id)
        link = _dial_directly(container_id, pid, known.user, (name,), direct.BULK_BYTES)
    if link is None:
        packed = bundle.bundle_for_files()
        link = _dial_by_exec(engine, container_id, known.user, (name,), packed)
    return link


def _dial_directly(
    container_id: str,
    pid: int,
    user: str,
    names: tuple[str, ...] = bundle.NAMES,
    receive_bytes: int = direct.RECEIVE_BYTES,
) -> Link | None:
    """None where there is no direct way, or no agent yet."""
    stream = None
    try:
        with gevent.Timeout(DIRECT_LIMIT_S, AgentUnavailable("no direct answer in time")):
            stream = direct.connect(container_id, pid, uid_of(user), names, receive_bytes)
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


def uid_of(user: str) -> int:
    """The uid in `uid:gid`."""
    return int(user.split(":")[0])


def _dial_by_exec(
    engine: Engine, container_id: str, user: str, names: tuple[str, ...], packed: bytes
) -> Link:
    try:
        return _dial(engine, container_id, user, names, packed)
    except (AgentUnavailable, EngineRefused):
        # That a container has just stopped, the engine says in many ways, or on the stream.
        if engine.inspect(container_id).state not in ("running", "paused"):
            raise ContainerGone(f"container {container_id:.12} does not run") from None
        raise


def _dial(
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


def shake_hands(stream: ExecStream | DirectStream) -> Link:
    """A link over `stream`, once the agent there has said who it is and what it speaks. Raises
    AgentMissing and AgentUnavailable; `stream` stays the caller's then."""
    incoming = Incoming()
    turn = Turn()
    seen = b""
    while True:
        received = stream.receive()
        turn.begins()
        turn.took(len(received))
        seen = (seen + received)[:4096]
        if not received or not seen.startswith(b"\0"[: len(seen)]):
            # Frames of the agent are short enough to start with a zero; text is the engine's.
            _explain_failure(seen, stream.error_text())
        try:
            greeting = next(incoming.frames(received), None)
        except frames.FrameError as error:
            raise AgentUnavailable(f"not an agent: {error}") from error
        if greeting is None:
            continue
        kind, _channel, payload = greeting
        if kind != frames.HELLO or incoming.holds_more():
            raise AgentUnavailable("the agent did not say hello")
        return _link(stream, incoming, payload)


def _explain_failure(seen: bytes, error_text: str) -> None:
    if any(sign in seen.lower() for sign in _NO_PYTHON):
        raise AgentMissing("the image has no python3")
    text = seen.decode("utf-8", "replace").strip() or error_text or "it ended at once"
    raise AgentUnavailable(f"the agent did not start: {text:.500}")


def _link(stream: ExecStream | DirectStream, incoming: Incoming, payload: bytes) -> Link:
    try:
        hello = decode_json(payload)
        protocol, daemon = hello["protocol"], hello["daemon"]
        dialect = DIALECTS.get(protocol) if isinstance(protocol, int) else None
    except (frames.FrameError, KeyError) as error:
        raise AgentUnavailable(f"the agent's hello is broken: {error}") from error
    if dialect is None or not isinstance(daemon, str):
        raise AgentUnavailable("the agent speaks another protocol")
    if not _DAEMON.fullmatch(daemon):
        raise AgentUnavailable("the agent's hello is broken: its identity")
    return Link(stream, incoming, daemon, dialect)
