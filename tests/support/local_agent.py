"""A real agent on this machine, without a sandbox around it: as its bundle starts it, and reached
by real links. It runs commands as whoever runs the tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent.socket

from gateway.link import bundle
from gateway.link.channel import frames_for
from gateway.link.collector import Collector
from gateway.link.direct import IS_LINK, DirectStream
from gateway.link.handshake import shake_hands
from gateway.link.link import Link
from gateway.protocol import frames

CAP = 4 * 1024 * 1024


@contextmanager
def local_agent() -> Iterator[Callable[[], Link]]:
    """What makes links to an agent of its own; agent and links end with the block."""
    name = f"test-agent-{os.getpid()}-{secrets.token_hex(4)}"
    links: list[Link] = []

    def link() -> Link:
        connected = gevent.socket.socket(socket.AF_UNIX)
        connected.connect("\0" + name)
        stream = DirectStream(connected)
        stream.send(IS_LINK)
        links.append(shake_hands(stream))
        return links[-1]

    argv = [*bundle.argv()[: -len(bundle.NAMES)], name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as start:
        assert start.stdin is not None
        assert start.stdout is not None
        start.stdin.write(bundle.bundle())
        [(kind, _, hello)] = frames.Decoder().feed(start.stdout.read(4096))
        assert kind == frames.HELLO
        try:
            yield link
        finally:
            for made in links:
                made.close()
            os.kill(frames.decode_json(hello)["pid"], signal.SIGKILL)
            gevent.sleep(0)  # the links' readers free their sockets


def outcome(link: Link, **fields: Any) -> tuple[int, bytes, bytes]:
    """(return code, output, error) of a `run` to its end. Raises what the agent refuses for."""
    request = {"op": "run", "key": secrets.token_hex(8), "request_id": "r", "meta": {}, **fields}
    collector = Collector(request, CAP)
    with gevent.Timeout(20):
        channel = link.open(collector, collector.message(), collector.credit)
        for stream, size in collector.wait_exit().items():
            channel.grant(stream, size, frames_for(size))
        collector.wait_complete()
        channel.forget()
    found = collector.collected()
    out, err = (b"".join(bytes(piece) for piece in pieces) for pieces in found.pieces)
    return found.exited.returncode, out, (found.exited.failure or "").encode() or err
