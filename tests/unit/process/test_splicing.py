"""Bytes from one socket to another without reading them."""

from __future__ import annotations

import os
import socket

import gevent
import gevent.socket
import pytest

from gateway.process.splicing import Ended, splice


def _pair() -> tuple[gevent.socket.socket, socket.socket]:
    ours, theirs = gevent.socket.socketpair()
    return ours, theirs


@pytest.mark.parametrize("size", [1, 65_537, 3_000_000])
def test_every_byte_arrives_and_no_more(size: int) -> None:
    """What follows on the source is left there."""
    source, sender = _pair()
    target, receiver = _pair()
    content = os.urandom(size)
    counted: list[int] = []
    sending = gevent.spawn(sender.sendall, content + b"next")
    passing = gevent.spawn(
        splice,
        source,
        target,
        size,
        silence_s=5,
        write=target.sendall,
        moved=counted.append,
    )

    received = b""
    while len(received) < size:
        received += receiver.recv(1 << 20)
    passing.get(timeout=10)

    assert received == content
    assert sum(counted) == size
    assert source.recv(100) == b"next"
    sending.get(timeout=5)
    for one in (source, sender, target, receiver):
        one.close()


def test_a_slow_target_is_written_to_the_slow_way() -> None:
    """`write` may then decide that it has gone."""
    source, sender = _pair()
    target, receiver = _pair()
    sending = gevent.spawn(sender.sendall, bytes(2_000_000))
    written: list[int] = []

    def give_up(piece: bytes) -> None:
        written.append(len(piece))
        raise ConnectionAbortedError("it does not read")

    with gevent.Timeout(10), pytest.raises(ConnectionAbortedError):
        splice(source, target, 2_000_000, silence_s=5, write=give_up)

    assert written
    sending.kill()
    for one in (source, sender, target, receiver):
        one.close()


def test_a_source_that_ends_or_is_silent() -> None:
    """Is told apart from a target that has gone."""
    source, sender = _pair()
    target, receiver = _pair()
    with pytest.raises(Ended):
        splice(source, target, 10, silence_s=0.05, write=target.sendall)
    sender.sendall(b"12345")
    sender.close()
    with pytest.raises(Ended):
        splice(source, target, 10, silence_s=5, write=target.sendall)
    assert receiver.recv(10) == b"12345"
    for one in (source, target, receiver):
        one.close()
