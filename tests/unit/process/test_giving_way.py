"""Whoever always has something to do lets those run who wait for a socket, or for their turn."""

from __future__ import annotations

import time
from contextlib import ExitStack

import gevent
import pytest
from gevent import socket

from gateway.api.ws.safe_socket import SafeSocket
from gateway.process.giving_way import SLICE_BYTES, SLICE_ITEMS, SLICE_S, Rate, Turn, give_way
from gateway.process.time_shares import work_for


class Nothing:
    """Is told of traffic."""

    def sent(self, size: int) -> None: ...

    def received(self, size: int) -> None: ...


def _takes_bytes(turn: Turn) -> None:
    turn.took(SLICE_BYTES // 4)


def _takes_items(turn: Turn) -> None:
    turn.took(0, SLICE_ITEMS // 4)


def _takes_time(turn: Turn) -> None:
    turn.begins()
    until = time.perf_counter() + SLICE_S
    while time.perf_counter() < until:
        pass
    turn.took(1)


@pytest.mark.parametrize("take", [_takes_bytes, _takes_items, _takes_time])
def test_a_socket_is_looked_at_between_turns(take) -> None:
    """`gevent.sleep(0)` alone runs only what is ready already. Several are busy at a time: others
    wait for one of them, not for all."""
    ours, theirs = socket.socketpair()
    turns = 0

    def be_busy() -> None:
        nonlocal turns
        turn = Turn()
        while True:
            take(turn)
            turns += 1

    with ours, theirs, gevent.Timeout(5):
        busy = [gevent.spawn(be_busy) for _ in range(10)]
        waiting = gevent.spawn(ours.recv, 1)
        gevent.sleep(0.01)
        before = turns
        theirs.send(b"x")
        assert waiting.get() == b"x"
        assert turns - before <= 2 * 4
        gevent.killall(busy)


def test_clients_that_send_all_the_time_leave_others_their_turn() -> None:
    """Ten of them, a millisecond of work for each piece: whoever waits for a socket waited for
    fifty pieces, since simple-websocket's loop gave way by `sleep(0)` alone."""
    ours, theirs = socket.socketpair()
    pieces = 0

    def read_on(client: socket.socket) -> None:
        nonlocal pieces
        reading = SafeSocket(client, Nothing())
        while reading.recv(1024):
            pieces += 1
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass

    with ours, theirs, ExitStack() as stack, gevent.Timeout(10):
        for _ in range(10):
            client, sender = socket.socketpair()
            stack.callback(client.close)
            stack.callback(sender.close)
            sender.sendall(b"x" * 100 * 1024)
            stack.callback(gevent.spawn(read_on, client).kill)
        gevent.sleep(0.01)
        waiting, waited = gevent.spawn(ours.recv, 1), []
        while len(waited) < 5:
            before = pieces
            theirs.send(b"x")
            assert waiting.get() == b"x"
            waited.append(pieces - before)
            waiting = gevent.spawn(ours.recv, 1)
        assert pieces < 1000
        waiting.kill()
    assert max(waited) <= 12, waited


def test_a_rate_holds_up_whoever_takes_more() -> None:
    """What may be taken at once costs no wait; the rest, as long as it takes to come back."""
    rate, begun = Rate(per_s=200, burst=20), time.monotonic()

    for _ in range(20):
        rate.take(1)
    at_once_s = time.monotonic() - begun
    for _ in range(20):
        rate.take(1)

    assert at_once_s < 0.05
    assert time.monotonic() - begun >= 0.09


def test_one_callers_queue_is_not_anothers() -> None:
    """Of a hundred that work for one caller one goes on at a time; for another one nobody waits in
    their queue."""
    rounds = 0

    def greedy() -> None:
        nonlocal rounds
        work_for("greedy")
        while True:
            give_way()
            rounds += 1

    def modest() -> int:
        work_for("modest")
        before = rounds
        for _ in range(10):
            give_way()
        return rounds - before

    many = [gevent.spawn(greedy) for _ in range(100)]
    gevent.sleep(0.05)
    try:
        passed = gevent.spawn(modest).get(timeout=20)
    finally:
        gevent.killall(many)
    assert passed <= 50, "in one queue with a hundred it would be about a thousand"
