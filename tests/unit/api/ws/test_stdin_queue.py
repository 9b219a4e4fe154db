"""Input that no command reads: bounded, in order, never in the way of a connection's end."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from gateway.api.ws import stdin_queue
from gateway.api.ws.message_cost import cost_of_command
from gateway.api.ws.stdin_queue import StdinQueues
from gateway.errors import GatewayFull, StdinFull, TooMuchQueued
from gateway.process import byte_budget as budget_module
from gateway.process.byte_budget import ByteBudget, Holding
from gateway.schemas.models import CommandRequest

SHARE = 10_000


class Commands:
    """Take input when they are told to."""

    def __init__(self) -> None:
        self.reading = Event()
        self.taken: list[tuple[str, bytes, bool]] = []

    def write(self, request_id: str, data: bytes, eof: bool) -> None:
        self.reading.wait()
        self.taken.append((request_id, data, eof))


def _queues(commands: Commands, connected: list[bool]) -> tuple[StdinQueues, Holding, ByteBudget]:
    budget = ByteBudget(4 * SHARE, SHARE, own_full=TooMuchQueued, all_full=GatewayFull)
    held = Holding(budget, "alice")
    return StdinQueues(commands.write, held, lambda: bool(connected)), held, budget


def test_input_counts_until_it_was_taken_and_arrives_in_order() -> None:
    """Per command; one that does not read does not hold up the count of others."""
    commands = Commands()
    queues, held, budget = _queues(commands, [True])

    for number in range(3):
        queues.put("r", bytes([number]) * 1000, number == 2)
    gevent.sleep(0)
    assert 3000 < held.size == budget.held < SHARE
    commands.reading.set()
    gevent.sleep(0.01)

    assert [eof for _, _, eof in commands.taken] == [False, False, True]
    assert [data[0] for _, data, _ in commands.taken] == [0, 1, 2]
    assert (held.size, budget.held) == (0, 0)


def test_input_beyond_the_share_waits_and_is_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is the owner's, over all connections: another's is not touched."""
    monkeypatch.setattr(budget_module, "PATIENCE_S", 0.05)
    queues, _, budget = _queues(Commands(), [True])
    queues.put("r", b"x" * 9000, False)

    with pytest.raises(TooMuchQueued), gevent.Timeout(2):
        queues.put("r", b"x" * 2000, False)
    assert Holding(budget, "bob").try_take(SHARE) == SHARE
    queues.close()


def test_a_client_that_has_gone_does_not_wait_for_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection, and the lease on the sandbox, stayed until the command ended."""
    monkeypatch.setattr(stdin_queue, "MAX_PENDING_BYTES", 1000)
    monkeypatch.setattr(stdin_queue, "LOOK_S", 0.01)
    connected = [True]
    queues, held, budget = _queues(Commands(), connected)
    queues.put("r", b"x" * 2000, False)
    waiting = gevent.spawn(queues.put, "r", b"y", False)
    gevent.sleep(0.05)
    assert not waiting.ready()

    connected.clear()

    waiting.get(timeout=2)
    queues.close()
    held.close()
    assert budget.held == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin_queue, "MAX_PENDING_BYTES", 1000)
    monkeypatch.setattr(stdin_queue, "STALL_S", 0.05)


@pytest.mark.usefixtures("impatient")
def test_input_for_a_command_that_does_not_read_is_refused_soon() -> None:
    """The connection must come to the next message, which may be the signal that helps."""
    queues, _, _ = _queues(Commands(), [True])
    queues.put("deaf", b"x" * 1200, False)

    with pytest.raises(StdinFull), gevent.Timeout(2):
        queues.put("deaf", b"y", False)
    with gevent.Timeout(2):
        queues.put("other", b"z", False)
    queues.close()


@pytest.mark.usefixtures("impatient")
def test_all_commands_of_a_connection_together_are_bounded_too() -> None:
    """Each within its own bound, hundreds of them would hold the owner's whole share."""
    queues, _, _ = _queues(Commands(), [True])
    for number in range(3):
        queues.put(f"deaf{number}", b"x" * 700, False)

    with pytest.raises(StdinFull), gevent.Timeout(2):
        queues.put("another", b"y", False)
    queues.close()


@pytest.mark.usefixtures("impatient")
def test_a_command_that_reads_slowly_holds_the_client_back_and_loses_nothing() -> None:
    """Back-pressure is what a client that is only too fast expects."""
    taken: list[bytes] = []

    def write(request_id: str, data: bytes, eof: bool) -> None:
        for _ in range(4):
            gevent.sleep(0.03)
            queues.moved(request_id)
        taken.append(data)

    budget = ByteBudget(4 * SHARE, SHARE, own_full=TooMuchQueued, all_full=GatewayFull)
    queues = StdinQueues(write, Holding(budget, "alice"), lambda: True)
    sent = [bytes([number]) * 800 for number in range(6)]
    with gevent.Timeout(5):
        for data in sent:
            queues.put("slow", data, False)
        while len(taken) < len(sent):
            gevent.sleep(0.01)

    assert taken == sent


def test_what_was_held_comes_back_once_whoever_was_killed() -> None:
    """A greenlet that was killed before it began gives nothing back by itself."""
    queues, held, budget = _queues(Commands(), [True])
    queues.put("r", b"x" * 1000, False)
    assert held.try_take(500) == 500

    held.close()
    held.give_back(500)
    queues.close()
    held.close()

    assert (budget.held, held.size, held.try_take(1)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("message", "at_least"),
    [
        ({"command": "true"}, 3000),
        ({"command": "x" * 100_000}, 100_000),
        ({"command": "cat", "stdin": "x" * 100_000}, 100_000),
        ({"command": "true", "env": {f"A{n}": "" for n in range(10_000)}}, 3_000_000),
    ],
    ids=["small", "command", "stdin", "env"],
)
def test_a_command_costs_what_it_holds(message: dict, at_least: int) -> None:
    """Of 300 that waited, 1 MB of stdin each was counted as nothing."""
    request = CommandRequest.model_validate(message)
    frame = request.model_dump_json(exclude_none=True)

    assert at_least <= cost_of_command(frame, request) <= at_least + len(frame) + 4000
