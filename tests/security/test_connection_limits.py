"""One sandbox cannot fill the host's table of connections, nor take its neighbours' part of it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from gateway.host import packet_filter
from gateway.host.packet_filter_rules import Flows, Policy
from tests.security.test_network import NAME_SERVER, PRIVATE, PUBLIC, Playground
from tests.support.other_hosts import PORT, sh

OPEN, RATE, NAMES = 40, 20, 20
SILENT = "45.45.46.46"
"""Nobody has this address: what is sent there is never answered."""

FLOWS = Flows(OPEN, RATE, NAMES)

_CONNECT = """
import socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
for _ in range(count):
    s = socket.socket()
    s.settimeout(3)
    try:
        s.connect((address, port))
        held.append(s)
    except OSError:
        pass
print(len(held))
"""

_SYNS = """
import socket, sys
held = []
for number in range(4000):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((sys.argv[1], 2000 + number))
    held.append(s)
print(len(held))
"""

_DATAGRAMS = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(4000):
    try:
        s.sendto(b"x", (sys.argv[1], 2000 + number))
    except OSError:
        pass
print("sent")
"""

_QUERIES = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 53))
s.settimeout(0.5)
question = bytes([1, 97, 4]) + b"test" + bytes([0, 0, 1, 0, 1])
answered = 0
for number in range(2000):
    s.send(number.to_bytes(2, "big") + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + question)
    s.setblocking(False)
    try:
        while s.recv(512):
            answered += 1
    except OSError:
        pass
s.settimeout(0.5)
try:
    while s.recv(512):
        answered += 1
except OSError:
    pass
print(answered)
"""


@pytest.fixture(scope="module")
def playground() -> Iterator[Playground]:
    made = Playground()
    # Goes with the link to the other hosts.
    sh("ip", "route", "add", f"{SILENT}/32", "via", "198.18.77.2")
    yield made
    made.close()


@pytest.fixture
def limited(playground: Playground) -> Playground:
    """With full budgets: the kernel's counts begin anew when the rules are made anew."""
    packet_filter.remove(playground.interface)
    playground.policy = Policy(name_servers=(ip_address(NAME_SERVER),), flows=FLOWS)
    playground.filter.apply()
    return playground


def _tracked(address: str) -> int:
    """Connections of a sandbox in the host's table that have not been closed."""
    lines = Path("/proc/net/nf_conntrack").read_text().splitlines()
    return sum(f"src={address} " in line and "TIME_WAIT" not in line for line in lines)


def test_open_connections_are_bounded(limited: Playground) -> None:
    """What is too much is refused at once; a neighbour has its own part."""
    first, second = limited.sandboxes
    opened = int(first.run("python3", "-c", _CONNECT, PUBLIC[0], str(PORT), "80"))

    assert OPEN - 5 <= opened <= OPEN
    assert second.reaches(*PUBLIC) == {*PUBLIC}
    assert int(second.run("python3", "-c", _CONNECT, PUBLIC[0], str(PORT), "30")) == 30


@pytest.mark.parametrize("flood", [_SYNS, _DATAGRAMS], ids=["tcp", "udp"])
def test_a_flood_makes_few_entries(limited: Playground, flood: str) -> None:
    """Four thousand half-open connections, or datagrams, which need no partner."""
    first, second = limited.sandboxes
    before = _tracked(first.address)
    assert first.run("python3", "-c", flood, SILENT) in ("4000\n", "sent\n")

    assert _tracked(first.address) - before <= 10 * RATE + 10 * RATE
    assert second.reaches(*PUBLIC) == {*PUBLIC}


def test_a_connection_may_carry_what_it_wants(limited: Playground) -> None:
    """Only beginnings are counted: a download is not slowed down."""
    fetch = (
        "import socket, sys\n"
        "for _ in range(20):\n"
        "    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)\n"
        "    s.sendall(b'x' * 60000)\n"
        "    assert s.recv(100000)\n"
        "print('over')\n"
    )
    sandbox = limited.sandboxes[1]

    assert sandbox.run("python3", "-c", fetch, PUBLIC[0], str(PORT)) == "over\n"


def test_queries_past_the_engine_are_bounded(limited: Playground) -> None:
    """A sandbox may ask the host's name server itself, as often as it likes on one connection."""
    first, second = limited.sandboxes

    answered = int(first.run("python3", "-c", _QUERIES, NAME_SERVER))

    assert 50 <= answered <= 10 * NAMES + 5 * NAMES
    assert second.reaches(NAME_SERVER, port=53) == {NAME_SERVER}


def test_what_is_not_allowed_stays_so(limited: Playground) -> None:
    """Limits come first in the chain, and let nothing through that the rest refuses."""
    assert limited.sandboxes[1].reaches(*PRIVATE) == set()


def test_limits_hold_where_all_may_be_reached(limited: Playground) -> None:
    """SANDBOX_EGRESS=all opens the networks, and not the host's table."""
    limited.policy = Policy("all", flows=FLOWS)
    limited.filter.apply()
    sandbox = limited.sandboxes[0]

    assert sandbox.reaches(*PRIVATE) == {*PRIVATE}
    before = _tracked(sandbox.address)
    sandbox.run("python3", "-c", _DATAGRAMS, SILENT)
    assert _tracked(sandbox.address) - before <= 20 * RATE


def test_applying_again_changes_nothing(
    limited: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel prints these rules too as they are written here; counts would begin anew."""
    limited.policy = Policy(
        allowed=(ip_network("10.1.0.0/16"),), name_servers=(ip_address("fd00::53"),), flows=FLOWS
    )
    limited.filter.apply()
    monkeypatch.setattr(packet_filter, "_restore", lambda *_: pytest.fail("rules were set again"))

    limited.filter.apply()

    assert limited.filter.check()[0] is True
