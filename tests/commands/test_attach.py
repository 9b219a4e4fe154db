"""Coming back to a command: every retained byte once, in order, and its result."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands.story import Story, ask_for_rest, connected_to, streamed
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

# Writes SIZE pseudo-random bytes in pieces of any size with pauses, then their SHA-256 to stderr.
PATTERN = """python3 -c '
import hashlib, random, sys, time
r, h, left = random.Random({seed}), hashlib.sha256(), {size}
while left:
    piece = r.randbytes(min(left, r.randrange(1, 400000)))
    h.update(piece); sys.stdout.buffer.write(piece); sys.stdout.buffer.flush()
    left -= len(piece)
    if r.random() < 0.3: time.sleep(r.random() / 20)
print(h.hexdigest(), file=sys.stderr)
'"""

BASE64 = {"encoding": "base64", "max_output_bytes": 100}


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def _is_intact(story: Story, size: int) -> None:
    assert story.error is None
    assert not story.gaps
    assert len(story.stdout) == size
    assert hashlib.sha256(story.stdout).hexdigest() == story.stderr.decode().strip()
    assert story.result["returncode"] == 0


def _reset(connection: Connection) -> None:
    linger = struct.pack("ii", 1, 0)
    connection.client.socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.client.socket.sock.close()


def _leave(connection: Connection, choice: random.Random) -> None:
    """Go in one of the ways that clients go."""
    way = choice.choice(["close", "reset", "stall", "half-open"])
    if way == "close":
        connection.close()
    elif way == "stall":
        time.sleep(choice.random())
        _reset(connection)
    elif way == "half-open":
        connection.client.socket.sock.shutdown(socket.SHUT_WR)
    else:
        _reset(connection)


def _follow_with_accidents(gateway: GatewayProcess, sandbox_id: str, seed: int) -> None:
    choice = random.Random(seed)
    size = 20_000_000 if seed == 0 else choice.choice([1, 1, 2, 3]) * 1_000_000
    story = Story(f"accidents-{seed}", "base64")
    command = PATTERN.format(seed=seed, size=size)
    connection = connect(gateway, sandbox_id)
    connection.ask(command, request_id=story.request_id, stream=True, **BASE64)
    for _ in range(choice.randrange(1, 5)):
        leave_at = story.next["stdout"] + choice.randrange(0, size // 2)
        while not story.over and (story.started is None or story.next["stdout"] < leave_at):
            story.take(connection.receive(60))
        if story.over:
            break
        _leave(connection, choice)
        connection = connect(gateway, sandbox_id)
        ask_for_rest(connection, story)
    story.read(connection)
    connection.close()
    _is_intact(story, size)


@pytest.mark.timeout(240)
def test_no_byte_is_lost_or_doubled_however_clients_leave(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The promise of the channel, against closes, resets and stalls at random places. A seed is
    in the name of each command, so that what fails can be repeated alone."""
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(_follow_with_accidents, shared_gateway, module_sandbox, seed)
            for seed in range(25)
        ]
    failures = {seed: job.exception() for seed, job in enumerate(jobs) if job.exception()}
    assert not failures


def test_two_viewers_get_the_same_bytes(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """A second screen shows what the first does, though it came later."""
    command = PATTERN.format(seed=99, size=3_000_000)
    connection.ask(command, request_id="shared", stream=True, **BASE64)
    first = Story("shared", "base64")
    while first.next["stdout"] < 500_000:
        first.take(connection.receive())
    with connect(shared_gateway, module_sandbox) as other, ThreadPoolExecutor(1) as pool:
        second = Story("shared", "base64")
        reading = pool.submit(second.attach, other)
        first.read(connection)
        reading.result()
    _is_intact(first, 3_000_000)
    _is_intact(second, 3_000_000)
    for key in ("output", "error", "returncode", "truncated"):
        assert first.result[key] == second.result[key]


def test_a_finished_command_can_be_attached_to(connection: Connection) -> None:
    """A client that slept through the end wakes up to the whole story."""
    connection.run("echo out; echo err >&2; exit 5", request_id="finished")
    story = Story("finished").attach(connection)
    assert story.kinds[0] == "started"
    assert story.kinds[-1] == "result"
    assert (story.stdout, story.stderr, story.result["returncode"]) == (b"out\n", b"err\n", 5)
    assert (story.result["output"], story.result["error"]) == ("out\n", "err\n")
    assert story.result["command"] == "echo out; echo err >&2; exit 5"


def test_attach_at_the_end_gives_the_result_alone(connection: Connection) -> None:
    """Who has all bytes gets none of them again."""
    connection.run("echo out", request_id="had-it-all")
    story = Story("had-it-all")
    story.next["stdout"] = 4
    story.attach(connection)
    assert story.kinds == ["started", "result"]
    assert story.stdout == b""


def test_attach_may_choose_another_encoding(connection: Connection) -> None:
    """A downloader can take bytes that a terminal took as text."""
    connection.run(r"printf 'a\377b'", request_id="both")
    assert Story("both", "base64").attach(connection, encoding="base64").stdout == b"a\xffb"


def test_the_other_worker_knows_the_command_too(
    shared_gateway: GatewayProcess, sandbox: str
) -> None:
    """Which process accepts a connection is chance; it may make no difference."""
    first, second = shared_gateway.workers()
    size = 3_000_000
    story = Story("elsewhere", "base64")
    with connected_to(shared_gateway, sandbox, first) as connection:
        command = PATTERN.format(seed=5, size=size)
        connection.ask(command, request_id="elsewhere", stream=True, **BASE64)
        while story.next["stdout"] < 1_000_000:
            story.take(connection.receive())
    with connected_to(shared_gateway, sandbox, second) as connection:
        story.attach(connection)
    _is_intact(story, size)


@pytest.mark.parametrize("link", ["auto", "exec"])
def test_output_survives_a_killed_gateway(own_gateway, link: str) -> None:
    """kill -9 of the whole service is an ordinary day; the command and its output go on."""
    gateway = own_gateway(link=link).start_ready()
    sandbox = gateway.create()
    size = 3_000_000
    stories = [Story(f"killed-{number}", "base64") for number in range(2)]
    connections = [connect(gateway, sandbox) for _ in stories]
    for number, (story, connection) in enumerate(zip(stories, connections, strict=True)):
        command = "sleep 0.2; " + PATTERN.format(seed=number, size=size)
        connection.ask(command, request_id=story.request_id, stream=True, **BASE64)
        while story.next["stdout"] < 1_000_000:
            story.take(connection.receive())
    gateway.kill()
    for connection in connections:
        _reset(connection)
    gateway.start_ready()
    for story in stories:
        with connect(gateway, sandbox) as connection:
            story.attach(connection)
        _is_intact(story, size)


def test_a_command_that_ends_while_the_gateway_is_down_has_its_result(own_gateway) -> None:
    """The exit code waits for whoever comes back: it is never guessed."""
    gateway = own_gateway().start_ready()
    sandbox = gateway.create()
    connection = connect(gateway, sandbox)
    connection.ask("sleep 1; echo done; exit 9", request_id="r1", stream=True)
    assert connection.receive()["type"] == "started"
    gateway.kill()
    _reset(connection)
    time.sleep(1.2)
    gateway.start_ready()
    with connect(gateway, sandbox) as connection:
        story = Story("r1").attach(connection)
    assert (story.stdout, story.result["returncode"]) == (b"done\n", 9)


def test_an_unknown_command_is_said_to_be_unknown(connection: Connection) -> None:
    """Never an empty stream with a made-up success."""
    connection.send({"type": "attach", "request_id": "never-was"})
    error = connection.receive()
    assert (error["type"], error["code"]) == ("error", "command_not_found")
    assert error["request_id"] == "never-was"


@pytest.mark.parametrize("offsets", [{"stdout": 5}, {"stderr": 1}, {"stdout": 2**62}])
def test_an_offset_beyond_the_end_is_refused(connection: Connection, offsets: dict) -> None:
    """A client that claims bytes which were never written follows another command's count."""
    connection.run("echo out", request_id="short")
    connection.send({"type": "attach", "request_id": "short", **offsets})
    assert connection.receive()["code"] == "bad_offset"
    assert connection.output_of("echo usable") == "usable\n"


@pytest.mark.parametrize("offset", [-1, "0", 1.5, 2**63, None])
def test_an_offset_that_is_no_offset_is_a_bad_request(connection: Connection, offset) -> None:
    """Before anything reaches the sandbox."""
    connection.send({"type": "attach", "request_id": "x", "stdout": offset})
    error = connection.receive()
    assert (error["code"], error["request_id"]) == ("bad_request", "x")


def test_an_attached_client_does_not_own_the_command(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """A viewer that leaves takes nothing with it."""
    connection.ask("sleep 1; echo still; exit 4", request_id="viewed", stream=True)
    assert connection.receive()["type"] == "started"
    with connect(shared_gateway, module_sandbox) as viewer:
        ask_for_rest(viewer, Story("viewed"))
        assert viewer.receive()["type"] == "started"
    story = Story("viewed").read(connection)
    assert (story.stdout, story.result["returncode"]) == (b"still\n", 4)
    assert streamed(connection, "echo on", "after").stdout == b"on\n"
