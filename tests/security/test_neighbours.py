"""What the kernel counts per user: one sandbox's share is not its neighbour's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.security.conftest import Place
from tests.support.clients import Connection, connect
from tests.support.lifecycle import MakeGateway
from tests.support.rest_commands import result_of

TAKE = """
import array, ctypes, fcntl, os, resource, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
kept = []

def inotify_instances():
    # fs.inotify.max_user_instances
    while len(kept) < 4096 and (fd := libc.inotify_init()) >= 0:
        kept.append(fd)
    return len(kept)

def descriptors_in_flight():
    # unix(7), ETOOMANYREFS: as many as RLIMIT_NOFILE
    count, null = 0, os.open(os.devnull, os.O_RDONLY)
    batch = array.array("i", [null] * 250)
    try:
        while count < 60000:
            left, right = socket.socketpair()
            kept.extend((left, right))
            left.setblocking(False)
            for _ in range(20):
                left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
                count += len(batch)
    except OSError:
        pass
    return count

def message_queues():
    # mq_overview(7): RLIMIT_MSGQUEUE bytes
    count = 0
    for number in range(200):
        name = b"/%d-%d" % (os.getpid(), number)
        if libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None) < 0:
            break
        libc.mq_unlink(name)
        count += 1
    return count

def pending_signals():
    # RLIMIT_SIGPENDING
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    count = 0
    while count < 400000 and libc.sigqueue(os.getpid(), signal.SIGRTMIN, None) == 0:
        count += 1
    return count

def large_pipes():
    # pipe(7), /proc/sys/fs/pipe-user-pages-soft: beyond it new pipes are small
    for count in range(4000):
        kept.extend(os.pipe())
        if fcntl.fcntl(kept[-1], 1032) < 65536:
            return count
    return count

print(globals()[sys.argv[1]](), flush=True)
if len(sys.argv) > 2:
    time.sleep(600)
"""

KINDS = (
    "inotify_instances",
    "descriptors_in_flight",
    "message_queues",
    "pending_signals",
    "large_pipes",
)


def _program(kind: str, *further: str) -> str:
    words = " ".join((kind, *further))
    return f"cat > /tmp/take.py <<'EOF'\n{TAKE}\nEOF\nexec python3 /tmp/take.py {words}"


@contextmanager
def _everything_taken(client: Connection, kind: str) -> Iterator[int]:
    """A program holds all that there is; how much it got."""
    client.send({"command": _program(kind, "hold"), "request_id": kind, "stream": True})
    try:
        while (event := client.receive(within_s=60))["type"] != "stdout":
            assert event["type"] == "started", event
        yield int(event["data"])
    finally:
        client.send({"type": "signal", "request_id": kind, "signal": "KILL"})
        while client.receive(within_s=30).get("type") != "result":
            pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["standard", "strict"])
def test_who_takes_all_takes_nothing_from_a_neighbour(
    places: Callable[[str], Place], level: str, kind: str
) -> None:
    """The neighbour comes afterwards: its agent starts (which hands descriptors over), its commands
    run, and it gets as much as the first had. (gVisor's limits are those of its own kernels.)"""
    place = places(level)
    with place.connect() as greedy, _everything_taken(greedy, kind) as taken:
        assert taken > 0
        neighbour = place.create()
        with connect(place.gateway, neighbour) as client:
            assert client.output_of("echo well", within_s=30) == "well\n"
            own = int(client.output_of(_program(kind), within_s=60))
        place.gateway.delete(f"/sandboxes/{neighbour}")

    assert own >= 0.9 * taken


def test_agents_start_where_users_are_shared(own_gateway: MakeGateway) -> None:
    """Without a user for each, over docker exec: one sandbox holds all descriptors that may be in
    flight, and the start of another's agent hands two over. They are carried byte by byte then."""
    gateway = own_gateway(uids="", link="exec", workers="1").start_ready()
    first, second = gateway.create(), gateway.create()
    with connect(gateway, first) as greedy, _everything_taken(greedy, "descriptors_in_flight"):
        told = result_of(gateway, second, "cat | tr a b; head -c 3000000 /dev/zero", stdin="aa")
        with connect(gateway, second) as client:
            assert client.output_of("echo well") == "well\n"
        assert int(result_of(gateway, second, _program("inotify_instances"))["output"]) > 0

    assert told["success"] is True
    assert told["output"] == "bb" + "\0" * 3_000_000
