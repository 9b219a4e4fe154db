"""The engine answers what sandboxes ask for names, outside of their limits: so that is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import connect
from tests.support.gateway_process import GatewayProcess

RATE = 50
BURST = 10 * RATE

_ASK = """
import random, selectors, socket, sys, time
kind, name = sys.argv[1:3]
count, port, seconds = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + bytes([0, 0, 1, 0, 1])
def query():
    return random.randbytes(2) + bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + question
# Of a message's head: one question, one answer, nothing else (RFC 1035, section 4.1.1).
ONE_ANSWER = bytes([0, 1, 0, 1, 0, 0, 0, 0])
sent = answered = failed = 0
end = time.monotonic() + seconds
ends = []
for _ in range(16):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.settimeout(2)
    try:
        s.connect(("127.0.0.11", port))
        s.setblocking(False)
        ends.append(s)
    except OSError:
        failed += 1
while time.monotonic() < end and (sent < count or answered < sent):
    for s in ends:
        try:
            if sent < count:
                if kind == "udp":
                    s.send(query())
                    sent += 1
                else:
                    q = query()
                    s.send((len(q).to_bytes(2, "big") + q) * 100)
                    sent += 100
        except OSError:
            pass
        try:
            while data := s.recv(65535):
                answered += 1 if kind == "udp" else data.count(ONE_ANSWER)
        except OSError:
            pass
    if sent >= count or count < 1000:
        time.sleep(0.005)
print(answered, sent, failed)
"""

_PORT = """
with open("/proc/net/udp") as table:
    found = [line.split()[1] for line in table if line.split()[1].startswith("0B00007F:")]
print(int(found[0].split(":")[1], 16))
"""


def _own_name(gateway: GatewayProcess, sandbox_id: str) -> str:
    """One that the engine knows without asking anybody."""
    return gateway.engine.container_of(sandbox_id)[:12]


def _asked(
    gateway: GatewayProcess,
    sandbox_id: str,
    kind: str,
    count: int,
    *,
    port: int = 53,
    for_s: float = 3,
) -> list[int]:
    """Answered and sent queries, and connections that were refused."""
    name = _own_name(gateway, sandbox_id)
    with connect(gateway, sandbox_id) as client:
        command = f"python3 - {kind} {name} {count} {port} {for_s}"
        told = client.run(command, stdin=_ASK, within_s=60)
    assert told["success"], told["error"]
    return [int(word) for word in told["output"].split()]


@pytest.fixture
def fresh(runc_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox that has asked for nothing yet."""
    made = runc_gateway.create(memory_mb=256)
    yield made
    runc_gateway.delete(f"/sandboxes/{made}")


def test_an_ordinary_burst_is_answered(runc_gateway: GatewayProcess, fresh: str) -> None:
    """Package managers ask for some hundred names at once."""
    answered, _, _ = _asked(runc_gateway, fresh, "udp", 400)

    assert answered == 400
    with connect(runc_gateway, fresh) as client:
        assert client.output_of(f"getent hosts {_own_name(runc_gateway, fresh)}") != ""


def test_a_flood_is_not(runc_gateway: GatewayProcess, fresh: str) -> None:
    """With several sockets and random ids; 0.8 of a core went into it, of the engine."""
    answered, sent, _ = _asked(runc_gateway, fresh, "udp", 200_000)

    assert sent > 5 * BURST
    assert answered <= BURST + 5 * RATE


def test_a_flood_over_tcp_is_not(runc_gateway: GatewayProcess, fresh: str) -> None:
    """Many queries fit into a packet, so that bytes count: of these 32 each, 50 are reckoned."""
    answered, sent, _ = _asked(runc_gateway, fresh, "tcp", 200_000, for_s=6)

    assert sent > 5 * BURST
    assert answered <= (BURST + 8 * RATE) * 50 / 32


def test_nor_is_one_past_the_port_of_names(runc_gateway: GatewayProcess, fresh: str) -> None:
    """The engine listens on a port that it drew, which the sandbox can see."""
    with connect(runc_gateway, fresh) as client:
        port = int(client.run("python3 -", stdin=_PORT)["output"])

    answered, sent, _ = _asked(runc_gateway, fresh, "udp", 200_000, port=port)

    assert sent > 5 * BURST
    assert answered <= BURST + 5 * RATE


def test_connections_to_the_engine_are_few(runc_gateway: GatewayProcess, fresh: str) -> None:
    """Each is a descriptor of the engine's. Names resolve all the same afterwards."""
    _, _, refused = _asked(runc_gateway, fresh, "tcp", 100, for_s=1)

    assert refused == 8
    answered, _, _ = _asked(runc_gateway, fresh, "udp", 100)
    assert answered == 100


def test_neighbours_resolve_during_a_flood(runc_gateway: GatewayProcess, fresh: str) -> None:
    """Each sandbox has a budget of its own."""
    other = runc_gateway.create(memory_mb=256)
    _asked(runc_gateway, fresh, "udp", 100_000, for_s=1)

    answered, _, _ = _asked(runc_gateway, other, "udp", 300)

    assert answered == 300
    runc_gateway.delete(f"/sandboxes/{other}")


def test_what_stays_inside_is_not_tracked(runc_gateway: GatewayProcess, fresh: str) -> None:
    """Each tracked connection is memory of the kernel, which counts for nobody."""
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for port in range(1024, 9216):\n"
        "    s.sendto(b'x', ('127.0.0.2', port))\n"
        "    s.sendto(b'x', ('127.0.0.3', port))\n"
    )
    first = runc_gateway.engine.inspect(fresh)["State"]["Pid"]
    with connect(runc_gateway, fresh) as client:
        client.run("python3 -", stdin=code, within_s=60)

    assert _tracked(first) < 3 * BURST


def _tracked(pid: int) -> int:
    """Connections that the kernel keeps track of in the network namespace of a process."""
    with open(f"/proc/{pid}/net/stat/nf_conntrack") as table:
        return int(table.readlines()[1].split()[0], 16)
