"""How far a client has read, by what its kernel says of it."""

from __future__ import annotations

import gevent.socket
import pytest

from gateway.api.e2b.client_reading import PLACES, UNREAD_BYTES, ClientReading
from gateway.api.e2b.client_socket import ClientSocket


class Client:
    """What is asked of `ClientSocket`, as tests say."""

    def __init__(self) -> None:
        self.queued = 0
        self.gone = self.was_reset = False
        self.open = 65536

    def looks_left(self) -> bool:
        return self.gone

    def unacknowledged(self) -> int:
        return self.queued

    def window(self) -> int:
        return self.open


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reading(client: Client, clock: Clock) -> ClientReading:
    return ClientReading(client, (10, 0), clock)  # type: ignore[arg-type]


def test_what_the_kernel_has_not_taken_was_not_read(client: Client, reading: ClientReading) -> None:
    """Acknowledgements come late; who waits for them looks again."""
    client.queued = 100
    reading.wrote(96, (106, 0))
    assert (reading.offsets, reading.is_behind) == ((10, 0), True)
    client.queued = 0
    reading.look()
    assert (reading.offsets, reading.is_behind) == ((106, 0), False)


def test_who_leaves_in_order_has_read_what_it_took(
    client: Client, clock: Clock, reading: ClientReading
) -> None:
    """And nothing of what was written after it had left."""
    for n in range(1, 40):
        clock.now += 0.02
        reading.wrote(96, (10 + n, 0))
    client.queued = 96 + 2 + 4  # with its framing
    client.gone = True
    reading.wrote(96, (99, 0))
    assert reading.offsets == (49, 0)
    assert not reading.is_behind


def test_after_a_reset_more_than_may_be_unread_counts_as_unread(
    client: Client, clock: Clock, reading: ClientReading
) -> None:
    """Four times what the window says, and a part that no window tells."""
    size = 64 * 1024
    for n in range(1, 101):
        clock.now += 1.0
        reading.wrote(size, (10 + n * size, 0))
    client.open -= 30_000
    client.gone = client.was_reset = True
    reading.look()
    given_again = 10 + 100 * size - reading.offsets[0]
    assert 4 * 30_000 + UNREAD_BYTES - size < given_again <= 4 * 30_000 + UNREAD_BYTES + 2 * size


@pytest.mark.parametrize(("pause_s", "is_flood"), [(0.0001, True), (0.02, False)])
@pytest.mark.parametrize(("after_s", "is_soon"), [(0.01, True), (10.0, False)])
def test_a_program_that_left_in_a_flood_had_not_looked_at_all_that_it_read(
    client: Client,
    clock: Clock,
    reading: ClientReading,
    pause_s: float,
    is_flood: bool,
    after_s: float,
    is_soon: bool,
) -> None:
    """One that waits for the next line has; so has one that was given time."""
    for n in range(1, 101):
        clock.now += pause_s
        reading.wrote(96, (10 + n, 0))
    clock.now += after_s
    client.gone = True
    reading.look()
    assert reading.offsets == ((10, 0) if is_flood and is_soon else (110, 0))


def test_places_are_bounded(client: Client, reading: ClientReading) -> None:
    """However many small pieces there are; the last is never forgotten."""
    for n in range(1, 10 * PLACES):
        reading.wrote(1, (10 + n, 0))
    assert len(reading._taken) <= PLACES
    assert reading.offsets == (10 + 10 * PLACES - 1, 0)


@pytest.mark.parametrize("is_read", [True, False])
def test_a_real_client_that_leaves_is_seen(is_read: bool) -> None:
    """By a FIN where it has read everything, else by a reset."""
    listener = gevent.socket.create_server(("127.0.0.1", 0))
    ours = gevent.socket.create_connection(listener.getsockname())
    client, _ = listener.accept()
    watched = ClientSocket(ours)
    left: list[bool] = []
    ours.sendall(b"x" * 1000)
    if is_read:
        assert len(client.recv(2000)) == 1000
    assert watched.unacknowledged() == 0
    assert watched.window() > 1000
    assert not watched.looks_left()
    watched.watch(lambda: left.append(True))
    client.close()
    with gevent.Timeout(5):
        while not left:
            gevent.sleep(0.01)
    watched.unwatch()
    assert watched.has_left
    assert watched.was_reset is not is_read
    ours.close()
    listener.close()


@pytest.mark.parametrize("by_reset", [True, False])
def test_how_a_client_leaves_after_the_end_tells_nothing(
    client: Client, reading: ClientReading, by_reset: bool
) -> None:
    """It has the last message, and does not wait for the end of the answer; or it takes all that
    came at a time and goes at once."""
    for n in range(1, 40):
        reading.wrote(96, (10 + n, 0))
    reading.complete()
    client.gone, client.was_reset = True, by_reset
    reading.look()
    assert (reading.offsets, reading.is_behind) == ((49, 0), False)
