"""The first frames of a link: who is at the other end, and what does it speak."""

from __future__ import annotations

import re

from gateway.engine.interface import ExecStream
from gateway.errors import AgentMissing, AgentUnavailable
from gateway.link.dialect import DIALECTS
from gateway.link.direct import DirectStream
from gateway.link.incoming import Incoming, decode_json
from gateway.link.link import Link
from gateway.process.giving_way import Turn
from gateway.protocol import frames

_NO_PYTHON = (b"executable file not found", b"no such file or directory")
"""How the engine says on the stream that `python3` is not in the image."""

_DAEMON = re.compile(r"[A-Za-z0-9-]{1,64}")
"""Names a process of an agent; it is kept in the store."""


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
