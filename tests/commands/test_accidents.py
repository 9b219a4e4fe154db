"""Two hundred commands, cut off at random by clients that vanish and a gateway that is killed."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands.story import Story
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_websocket import PONG, TEXT, RawWebSocket

pytestmark = pytest.mark.engine

COMMANDS = 200
AT_A_TIME = 8
SANDBOXES = 4

# Writes SIZE bytes that tell where they belong, then their SHA-256 to stderr.
PATTERN = """python3 -c '
import hashlib, sys
h, size = hashlib.sha256(), {size}
for at in range(0, size, 50000):
    piece = (b"%010d:{seed}\\n" % at * 5000)[:50000]
    h.update(piece); sys.stdout.buffer.write(piece)
sys.stdout.flush(); sys.stderr.write(h.hexdigest())
'"""


class _Gone(Exception):
    """The connection ended, in whatever way."""


def _messages(raw: RawWebSocket):
    while True:
        received = raw.receive(within_s=30)
        if received is None or received[0] not in (TEXT, 0x9):
            raise _Gone
        opcode, payload = received
        if opcode == TEXT and not payload:
            raise _Gone  # cut off within the frame
        if opcode == TEXT:
            yield json.loads(payload)
        else:
            raw.send(PONG, payload)


def _ask(raw: RawWebSocket, story: Story, command: str) -> None:
    """Start the command unless it was started, else go on where the story stands."""
    fields: dict = {"request_id": story.request_id}
    if story.started is None:
        fields |= {"command": command, "stream": True, "once": True, "max_output_bytes": 0}
        fields["encoding"] = "base64"
    else:
        fields |= {"type": "attach", **{stream: story.next[stream] for stream in story.next}}
    raw.send(TEXT, json.dumps(fields).encode())


def _watch_a_while(gateway: GatewayProcess, sandbox_id: str, story: Story, command: str, choice):
    """One connection: follow the command to a random place, then leave in a random way."""
    with RawWebSocket(gateway, sandbox_id) as raw:
        _ask(raw, story, command)
        leave_at = story.next["stdout"] + choice.randrange(1, 20_000_000)
        for message in _messages(raw):
            story.take(message)
            if story.over:
                return
            if story.next["stdout"] >= leave_at:
                break
        way = choice.choice(["close", "reset", "stall"])
        if way == "stall":
            time.sleep(choice.random() * 2)
        if way == "reset":
            raw.reset()


def _follow(gateway: GatewayProcess, sandbox_id: str, seed: int) -> None:
    choice = random.Random(seed)
    size = choice.randrange(1, 21) * 1_000_000
    command = PATTERN.format(size=size, seed=seed)
    story = Story(f"accident-{seed}", "base64")
    deadline = time.monotonic() + 150
    while not story.over:
        assert time.monotonic() < deadline, f"{story.request_id}: {story.next} of {size}"
        try:
            _watch_a_while(gateway, sandbox_id, story, command, choice)
        except (_Gone, OSError, TypeError) as gone:  # TypeError: a frame was cut in its header
            del gone
            time.sleep(0.1)
        except AssertionError as error:
            if "HTTP/" not in str(error) and str(error) != "b''":
                raise
            # Not upgraded: the gateway was killed, or is starting.
            time.sleep(0.1)
    assert story.error is None, story.error
    assert not story.gaps
    assert len(story.stdout) == size
    assert hashlib.sha256(story.stdout).hexdigest() == story.stderr.decode()
    assert story.result["returncode"] == 0


@pytest.mark.timeout(400)
def test_two_hundred_commands_survive_clients_and_gateways_that_die(own_gateway) -> None:
    """Nothing lost, nothing twice: each client puts its command's output together from pieces, and
    its SHA-256 is the one that the command itself has computed."""
    gateway: GatewayProcess = own_gateway().start_ready()
    sandboxes = [gateway.create() for _ in range(SANDBOXES)]
    over = threading.Event()
    kills = []

    def kill_now_and_then() -> None:
        choice = random.Random(0)
        while not over.wait(choice.uniform(3, 6)):
            gateway.kill()
            kills.append(time.monotonic())
            gateway.start_ready()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            jobs = [
                pool.submit(_follow, gateway, sandboxes[seed % SANDBOXES], seed)
                for seed in range(COMMANDS)
            ]
    finally:
        over.set()
        killer.join()
    failures = {seed: job.exception() for seed, job in enumerate(jobs) if job.exception()}
    assert not failures
    assert kills
