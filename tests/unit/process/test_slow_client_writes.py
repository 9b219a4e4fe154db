"""Writing to slow clients and to such as do not read, over real TCP connections."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import gevent
import pytest
from gevent import socket

from gateway.process import slow_client_writes
from gateway.process.slow_client_writes import ClientStalled, PatientSocket, write_all

STALL_S = 0.4


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(our end, the client's), as over loopback. Ours has a large send buffer, as connections to
    far away get one; the client's window is small."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        theirs = socket.socket()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    yield ours, theirs
    ours.close()
    theirs.close()


def _ignore(_count: int) -> None:
    return


def _read(client: socket.socket, size: int, every_s: float = 0.0, at_once: int = 65536) -> int:
    taken = 0
    while taken < size:
        gevent.sleep(every_s)
        piece = client.recv(at_once)
        if not piece:
            break
        taken += len(piece)
    return taken


def test_all_of_it_arrives(pair) -> None:
    """And is counted, however many parts the kernel took it in."""
    ours, client = pair
    counts: list[int] = []
    reading = gevent.spawn(_read, client, 5_000_000)

    with gevent.Timeout(20):
        write_all(ours, b"x" * 5_000_000, STALL_S, counts.append)

        assert reading.get() == sum(counts) == 5_000_000


def test_who_reads_nothing_is_given_up_in_time(pair) -> None:
    """As a client that has gone: gunicorn logs nothing then. The kernel forgets the rest."""
    ours, client = pair

    with gevent.Timeout(STALL_S * 8), pytest.raises(ClientStalled) as failed:
        write_all(ours, b"x" * 20_000_000, STALL_S, _ignore)
    ours.close()

    assert failed.value.errno == errno.EPIPE
    with pytest.raises(ConnectionResetError):
        _read(client, 20_000_000)


def test_who_reads_slowly_is_not(pair) -> None:
    """The send buffer takes nothing more for several time limits, since less than a third of it is
    free: the kernel would not even say that the socket can be written to."""
    ours, client = pair
    filled = gevent.spawn(write_all, ours, b"x" * 3_000_000, STALL_S, _ignore)

    with gevent.Timeout(30):
        assert _read(client, 100_000, every_s=0.02, at_once=2000) >= 100_000
        assert not filled.ready()
    filled.kill()


def test_who_takes_a_byte_now_and_then_is_given_up(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an answer could be held for as long as somebody likes."""
    monkeypatch.setattr(slow_client_writes, "SLOWEST_BYTES_PER_S", 500_000)
    ours, client = pair
    dripping = gevent.spawn(_read, client, 20_000_000, 0.05, 1)

    with gevent.Timeout(STALL_S * 8), pytest.raises(ClientStalled):
        write_all(ours, b"x" * 20_000_000, STALL_S, _ignore)
    dripping.kill()


def test_a_patient_socket_is_the_socket_but_for_sendall(pair) -> None:
    """gunicorn, and the WebSocket library, use more of it."""
    ours, client = pair
    patient = PatientSocket(ours, STALL_S)

    client.sendall(b"request")
    assert patient.recv(100) == b"request"
    assert patient.fileno() == ours.fileno()
    with gevent.Timeout(STALL_S * 8), pytest.raises(ClientStalled):
        patient.sendall(b"x" * 20_000_000)
