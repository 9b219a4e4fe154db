"""Whose connection makes room for whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TooManyConnections
from gateway.middleware.connection_limits import ClientConnections


class Socket:
    """Knows whether it was shut down."""

    def __init__(self) -> None:
        self.is_open = True

    def shutdown(self, _how: int) -> None:
        self.is_open = False


def test_the_stranger_who_waits_longest_makes_room() -> None:
    """Of the address that has most; whoever comes with a request has its place."""
    connections = ClientConnections(100)  # ten of them for strangers
    honest = Socket()
    connections.enter(honest, "192.0.2.1")
    flood = [Socket() for _ in range(30)]
    for one in flood:
        connections.enter(one, "192.0.2.66")

    assert honest.is_open
    assert [one.is_open for one in flood] == [False] * 21 + [True] * 9


def test_strangers_take_no_place_of_clients() -> None:
    """And clients none of theirs: somebody new always gets in."""
    connections = ClientConnections(100, most_per_client=90)
    for _ in range(90):
        one = Socket()
        held = connections.enter(one, "192.0.2.1")
        held.is_busy = True
        connections.know(one, "key alice")
    late = Socket()
    connections.enter(late, "192.0.2.2")

    with pytest.raises(TooManyConnections):
        connections.know(late, "key bob")
    assert late.is_open


def test_one_client_leaves_room_to_others() -> None:
    """Its own idle connections make room for its next; those in use do not."""
    connections = ClientConnections(100)  # 72 for one client
    idle = [Socket() for _ in range(80)]
    for one in idle:
        connections.enter(one, "192.0.2.1")
        connections.know(one, "key alice")
    assert [one.is_open for one in idle] == [False] * 8 + [True] * 72

    other = Socket()
    connections.enter(other, "192.0.2.1")
    connections.know(other, "key bob")
    assert other.is_open


def test_one_that_changes_its_key_counts_once() -> None:
    """A proxy's connection carries many clients' requests, one after the other."""
    connections = ClientConnections(100, most_per_client=1)
    one = Socket()
    held = connections.enter(one, "192.0.2.1")
    for client in ("key alice", "key bob", "key alice", "key alice"):
        connections.know(one, client)
    connections.leave(held)
    connections.leave(held)

    again = Socket()
    connections.enter(again, "192.0.2.1")
    connections.know(again, "key alice")
    assert again.is_open


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "know", "busy", "idle", "leave"]),
        st.integers(0, 30),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=120,
)


@given(steps=STEPS)
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    """Of strangers, of each client and of all; who was shut down is not counted any more."""
    connections = ClientConnections(20, most_per_client=5)
    held, names = [], {}
    for step, number, name in steps:
        if step == "enter":
            held.append(connections.enter(Socket(), name))
        elif held:
            one = held[number % len(held)]
            if step == "know":
                try:
                    connections.know(one.socket, name)
                except TooManyConnections:
                    assert one.socket.is_open
            elif step == "leave":
                connections.leave(one)
                one.socket.is_open = False
            else:
                one.is_busy = step == "busy"
        alive = [one for one in held if one.socket.is_open]
        names = {name: sum(o.is_known and o.client == name for o in alive) for name in "abc"}
        assert sum(not one.is_known for one in alive) <= connections.most_strangers
        assert max(names.values()) <= 5
        assert sum(names.values()) <= connections.most_known
