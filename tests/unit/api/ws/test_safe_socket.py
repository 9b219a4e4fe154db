"""Whole writes, bounded reads, a clean end: over real sockets."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from gateway.api.ws import safe_socket
from gateway.api.ws.frames import PING, TEXT
from gateway.api.ws.safe_socket import BACKLOG, ClientGone, SafeSocket
from gateway.process.slow_client_writes import unacknowledged
from tests.support.eventually import eventually


class Traffic:
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.out = 0
        self.into = 0

    def sent(self, size: int) -> None:
        self.out += size

    def received(self, size: int) -> None:
        self.into += size


@pytest.fixture
def pair():
    """(our end as SafeSocket, the client's end), with small buffers in between."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    yield SafeSocket(ours, Traffic()), theirs
    ours.close()
    theirs.close()


@pytest.fixture
def tcp_pair():
    """Likewise, with a kernel in between that acknowledges."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    yield SafeSocket(ours, Traffic()), theirs
    ours.close()
    theirs.close()


def _read_frames(client, count: int) -> list[tuple[int, bytes]]:
    def exactly(size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            piece = client.recv(min(size - len(taken), 3000))
            assert piece
            taken += piece
        return taken

    found = []
    for _ in range(count):
        first, length = exactly(2)
        if length == 126:
            length = int.from_bytes(exactly(2), "big")
        elif length == 127:
            length = int.from_bytes(exactly(8), "big")
        found.append((first & 0x0F, exactly(length)))
    return found


def test_frames_of_many_greenlets_do_not_mix(pair) -> None:
    """Results, pings and errors are written by different greenlets; the kernel takes a large one
    in many parts."""
    safe, client = pair
    payloads = [bytes([65 + number]) * (1 + number * 20_000) for number in range(10)]
    writers = [gevent.spawn(safe.send_frame, TEXT, payload) for payload in payloads]
    writers += [gevent.spawn(safe.send_frame, PING, b"ping") for _ in range(10)]

    with gevent.Timeout(10):
        got = _read_frames(client, 20)
        gevent.joinall(writers, raise_error=True)

    assert sorted(p for opcode, p in got if opcode == TEXT) == sorted(payloads)
    assert [p for opcode, p in got if opcode == PING] == [b"ping"] * 10


def test_send_takes_all_or_raises(pair) -> None:
    """simple-websocket ignores the count that a socket's send returns."""
    safe, client = pair
    sending = gevent.spawn(safe.send, b"x" * 500_000)
    taken = 0
    with gevent.Timeout(10):
        while taken < 500_000:
            taken += len(client.recv(10_000))
        assert sending.get() == 500_000


def test_a_client_that_takes_nothing_is_given_up(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever waits for the lock behind it is let go as well."""
    monkeypatch.setattr(safe_socket, "STALL_LIMIT_S", 0.2)
    safe, _client = pair
    first = gevent.spawn(safe.send_frame, TEXT, b"x" * 1_000_000)
    second = gevent.spawn(safe.send_frame, TEXT, b"y")

    with gevent.Timeout(5):
        for sending in (first, second):
            with pytest.raises(ClientGone):
                sending.get()
        assert safe.recv(10) == b""


def test_a_slow_client_is_not_given_up(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for taking nothing at all, not for the whole."""
    monkeypatch.setattr(safe_socket, "STALL_LIMIT_S", 0.3)
    safe, client = pair
    heard = safe.last_heard
    sending = gevent.spawn(safe.send_frame, TEXT, b"x" * 60_000)

    taken = 0
    with gevent.Timeout(20):
        while taken < 60_004:  # with the header
            gevent.sleep(0.05)
            taken += len(client.recv(4000))
        sending.get()
    assert safe.last_heard > heard


def test_taking_what_waits_in_the_kernel_is_a_sign_of_life(pair) -> None:
    """Nothing is written any more, and no ping can be answered before all of it is read."""
    safe, client = pair
    for _ in range(3):
        safe.send_frame(TEXT, b"x" * 100)
    safe.notice_life()
    heard = safe.last_heard

    safe.notice_life()
    assert safe.last_heard == heard, "it has taken nothing"

    client.recv(102)
    safe.notice_life()
    assert safe.last_heard > heard


def test_what_was_sent_and_not_read_yet_is_a_sign_of_life(pair) -> None:
    """A pong that came while this process had no processor."""
    safe, client = pair
    heard = safe.last_heard
    client.sendall(b"pong")

    safe.notice_life()
    noticed = safe.last_heard
    assert noticed > heard

    safe.notice_life()
    assert safe.last_heard == noticed, "who vanished after its messages is not kept by them"


def test_a_ping_that_only_the_kernel_takes_is_no_sign_of_life(tcp_pair) -> None:
    """Else a client that hangs would be kept for as long as its machine runs."""
    safe, _client = tcp_pair
    heard = safe.last_heard

    for _ in range(4):
        safe.notice_life()
        safe.send_frame(PING, b"")
        eventually(lambda: unacknowledged(safe._socket) == 0)

    safe.notice_life()
    assert safe.last_heard == heard


def test_looking_for_life_in_a_closed_socket_is_no_error(pair) -> None:
    """It may be closed by whoever reads or writes."""
    safe, _client = pair
    heard = safe.last_heard
    safe._socket.close()
    safe.notice_life()
    assert safe.last_heard == heard


def test_reading_waits_while_messages_pile_up(pair) -> None:
    """The client's kernel does the queueing: it stops when nobody takes its messages."""
    safe, client = pair
    backlog = [BACKLOG + 1]
    safe.limit_backlog(lambda: backlog[0])
    client.sendall(b"message")
    reading = gevent.spawn(safe.recv, 100)
    gevent.sleep(0.05)
    assert not reading.ready()

    backlog[0] = 0
    safe.consumed()

    with gevent.Timeout(2):
        assert reading.get() == b"message"


def test_abort_wakes_a_reader_that_waits(pair) -> None:
    """Else its greenlet would stay for ever."""
    safe, _ = pair
    reading = gevent.spawn(safe.recv, 100)
    gevent.sleep(0)

    safe.abort()
    safe.abort()

    with gevent.Timeout(2):
        assert reading.get() == b""
    with pytest.raises(ClientGone):
        safe.send_frame(TEXT, b"x")


def test_the_last_frame_arrives_although_the_client_is_still_sending(pair) -> None:
    """Closing with unread bytes resets the connection and loses the close frame."""
    safe, client = pair
    client.sendall(b"z" * 3000)
    safe.send_frame(TEXT, b"last words")
    safe.close()
    finishing = gevent.spawn(safe.finish)

    with gevent.Timeout(5):
        assert _read_frames(client, 1) == [(TEXT, b"last words")]
        assert client.recv(10) == b""
        client.close()
        finishing.get()


def test_finish_does_not_wait_for_ever(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a client that neither reads nor closes."""
    monkeypatch.setattr(safe_socket, "CLOSING_S", 0.2)
    safe, _client = pair

    with gevent.Timeout(3):
        safe.finish()


def test_nothing_follows_the_close_frame(pair) -> None:
    """RFC 6455, 5.5.1: results that finish later are not sent after it."""
    safe, client = pair
    safe.seal()
    safe.send(b"\x88\x00")

    with pytest.raises(ClientGone):
        safe.send_frame(TEXT, b"too late")
    assert client.recv(100) == b"\x88\x00"


def test_all_that_passes_is_counted_once() -> None:
    """Frames' headers included, and however many pieces the kernel takes a large one in."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    traffic = Traffic()
    safe = SafeSocket(ours, traffic)
    reading = gevent.spawn(_read_frames, theirs, 1)

    safe.send_frame(TEXT, b"x" * 300_000)
    [(_, payload)] = reading.get(timeout=10)
    theirs.sendall(b"y" * 100)
    while traffic.into < 100:
        safe.recv(30)

    assert traffic.out == len(payload) + 10
    assert traffic.into == 100
    ours.close()
    theirs.close()
