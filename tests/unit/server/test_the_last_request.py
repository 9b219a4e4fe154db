"""A worker that is told to stop loses no request that has begun to come."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent import socket
from gunicorn.config import Config

from gateway.server.request_reading import BoundedRequest, Requests

ASKED = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
IDLE_S = 20.0


class Peers:
    """Both ends of a connection: `client` writes, `requests` are read off the other one."""

    def __init__(self) -> None:
        self.client, self._server = socket.socketpair()
        self.requests = Requests(Config(), self._server, ("127.0.0.1", 1))

    def waits_for_next(self) -> gevent.Greenlet:
        reader = gevent.spawn(self.requests.next_within, IDLE_S)
        gevent.idle()
        return reader

    def first(self) -> BoundedRequest | None:
        self.client.sendall(ASKED % 1)
        return self.requests.next_within(IDLE_S)

    def close(self) -> None:
        self.client.close()
        self._server.close()


@pytest.fixture
def peers() -> Iterator[Peers]:
    peers = Peers()
    yield peers
    peers.close()


def _path(reader: gevent.Greenlet) -> str | None:
    request = reader.get(timeout=5)
    return None if request is None else str(request.path)


def test_a_wait_between_two_requests_ends(peers: Peers) -> None:
    """Else the worker would live on for the whole grace, for nothing."""
    assert peers.first() is not None
    reader = peers.waits_for_next()

    peers.requests.end()

    assert _path(reader) is None


def test_a_request_that_has_arrived_is_read_all_the_same(peers: Peers) -> None:
    """Nobody has read it yet, but the client has sent it: it would never have an answer."""
    assert peers.first() is not None
    reader = peers.waits_for_next()

    peers.client.sendall(ASKED % 2)
    peers.requests.end()

    assert _path(reader) == "/2"


def test_a_request_of_which_a_part_has_arrived_is_read_to_its_end(peers: Peers) -> None:
    """Clients send head and body apart, and a network may cut anywhere."""
    assert peers.first() is not None
    reader = peers.waits_for_next()

    peers.client.sendall((ASKED % 2)[:7])
    gevent.idle()
    peers.requests.end()
    gevent.idle()
    peers.client.sendall((ASKED % 2)[7:])

    assert _path(reader) == "/2"


def test_the_first_request_of_a_connection_is_waited_for(peers: Peers) -> None:
    """Who has just connected is about to send it, and expects no end of the connection."""
    reader = peers.waits_for_next()

    peers.requests.end()
    gevent.idle()
    peers.client.sendall(ASKED % 1)

    assert _path(reader) == "/1"


def test_nothing_is_waited_for_at_the_end_of_the_grace(peers: Peers) -> None:
    """What came then would be cut off with the worker."""
    reader = peers.waits_for_next()

    peers.requests.end_wait()

    assert _path(reader) is None


def test_the_answer_in_hand_says_that_it_is_the_last(peers: Peers) -> None:
    """So that the client sends its next request elsewhere."""
    request = peers.first()
    assert request is not None

    peers.requests.end()

    assert request.should_close()
    assert peers.requests.next_within(IDLE_S) is None


def test_a_request_after_an_answer_that_promised_more_is_read(peers: Peers) -> None:
    """The head of the answer was written before the worker was told, and the next request sent."""
    request = peers.first()
    assert request is not None
    assert not request.should_close()

    peers.requests.end()
    peers.client.sendall(ASKED % 2)

    assert _path(peers.waits_for_next()) == "/2"


def test_an_end_that_comes_too_late_harms_nothing(peers: Peers) -> None:
    """It is thrown at a wait, never at what follows it."""
    assert peers.first() is not None
    peers.client.sendall(ASKED % 2)
    reader = peers.waits_for_next()
    assert reader.ready()

    peers.requests.end()
    gevent.idle()

    assert _path(reader) == "/2"
