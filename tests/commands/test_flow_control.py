"""A flood is held back where it begins: no memory fills, and nobody else waits for it."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_websocket import TEXT, RawWebSocket

pytestmark = pytest.mark.engine

MIB = 1024 * 1024
WATCHED_S = 12
BOUND = 32 * MIB
FLOOD = b'{"command": "yes", "request_id": "flood", "stream": true, "max_output_bytes": 0}'


@dataclass(frozen=True)
class Place:
    """A gateway of its own, whose memory is nobody else's, with one sandbox that has been used."""

    gateway: GatewayProcess
    sandbox: str
    workers_rss: int
    agent_rss: int

    def growth(self) -> tuple[int, int]:
        """Bytes that the workers together, and the agent, have more than before the flood."""
        agent = _agent_rss(self.gateway, self.sandbox)
        return self.gateway.memory() - self.workers_rss, agent - self.agent_rss


@pytest.fixture
def place(own_gateway) -> Place:
    gateway = own_gateway().start_ready()
    sandbox = gateway.create()
    for _ in range(4):  # both workers get some of these
        with connect(gateway, sandbox) as connection:
            connection.run("seq 1 100000", max_output_bytes=0)
    return Place(gateway, sandbox, gateway.memory(), _agent_rss(gateway, sandbox))


def _agent_rss(gateway: GatewayProcess, sandbox: str) -> int:
    (agent,) = gateway.engine.agents(sandbox)
    return agent.memory_info().rss


def _watch(place: Place) -> None:
    """Assert that memory stays bounded while a flood runs, and that another client, which works
    all the time, is answered soon."""
    deadline = time.monotonic() + WATCHED_S
    most = (0, 0)
    with connect(place.gateway, place.sandbox) as other:
        while time.monotonic() < deadline:
            began = time.monotonic()
            assert other.output_of("echo hi") == "hi\n"
            assert time.monotonic() - began < 3
            most = tuple(map(max, most, place.growth()))
            time.sleep(0.2)
    print(f"workers +{most[0] / MIB:.1f} MiB, agent +{most[1] / MIB:.1f} MiB")
    assert most[0] < BOUND, "the workers have grown"
    assert most[1] < BOUND, "the agent has grown"


def _written(connection: Connection) -> int:
    connection.send({"type": "list"})
    listed = connection.receive()["commands"]
    return next(one["stdout_bytes"] for one in listed if one["request_id"] == "flood")


def _kill(place: Place) -> None:
    with connect(place.gateway, place.sandbox) as other:
        other.send({"type": "signal", "request_id": "flood", "signal": "KILL"})
        eventually(lambda: other.run("pgrep -x yes")["returncode"] == 1)


def test_a_reader_that_stops_stops_its_command_alone(place: Place) -> None:
    """Its backlog is bounded in the agent, the gateway holds next to nothing, others go on."""
    gateway, sandbox = place.gateway, place.sandbox
    stopped = RawWebSocket(gateway, sandbox, receive_buffer=65536)
    stopped.send(TEXT, FLOOD)
    opcode, _payload = stopped.receive()
    assert opcode == TEXT
    _watch(place)
    with connect(gateway, sandbox) as other:
        # It is held back in write(2), not read and thrown away.
        written = _written(other)
        time.sleep(1)
        assert _written(other) == written
    _kill(place)


def test_a_held_back_command_goes_on_when_its_reader_does(place: Place) -> None:
    """Not a byte is lost for the pause, though nothing was kept but the backlog."""
    gateway, sandbox = place.gateway, place.sandbox
    command = "seq 1 3500000"  # 27 MB, more than is retained
    with connect(gateway, sandbox) as connection:
        connection.ask(command, request_id="slow", stream=True, max_output_bytes=0)
        story = Story("slow")
        for _ in range(3):
            time.sleep(1)
            until = len(story.stdout) + 2_000_000
            while len(story.bytes_of["stdout"]) < until:
                story.take(connection.receive())
        story.read(connection)
    assert not story.gaps
    assert story.stdout == b"".join(b"%d\n" % number for number in range(1, 3_500_001))


def test_a_flood_that_nobody_follows_runs_on_in_bounded_memory(place: Place) -> None:
    """The agent keeps head and tail and forgets the middle."""
    gateway, sandbox = place.gateway, place.sandbox
    with connect(gateway, sandbox) as connection:
        connection.client.send_text(FLOOD.decode())
        assert connection.receive()["type"] == "started"
        linger = struct.pack("ii", 1, 0)
        connection.client.socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.client.socket.sock.close()
    with connect(gateway, sandbox) as other:
        before = _written(other)
        _watch(place)
        assert _written(other) > before + 50 * MIB
    _kill(place)


def test_a_stopped_reader_does_not_hold_up_its_neighbours_in_the_worker(place: Place) -> None:
    """Twenty of them, all in the one worker that a well-behaved client has to share."""
    gateway, sandbox = place.gateway, place.sandbox
    worker = gateway.workers()[0]
    with gateway.only(worker):
        stopped = [RawWebSocket(gateway, sandbox, receive_buffer=65536) for _ in range(20)]
        good = connect(gateway, sandbox)
    for number, one in enumerate(stopped):
        one.send(TEXT, FLOOD.replace(b'"flood"', b'"flood-%d"' % number))
        assert one.receive() is not None
    for number in range(20):
        began = time.monotonic()
        assert good.output_of(f"echo {number}") == f"{number}\n"
        assert time.monotonic() - began < 3
    assert place.growth()[0] < BOUND
    for one in stopped:
        one.reset()
    good.run("pkill -KILL yes")
    good.close()
