"""What is forgotten, when, and what is never done twice nevertheless."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.agent import retention as module
from gateway.agent.processes.command import OWN_BYTES, Command, Start
from gateway.agent.retention import CHECK_BYTES, Limits, Retention

KIB = 1024


class Clock:
    """Stands in for the module's time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def retention(limits: Limits) -> Retention:
    return Retention(limits)


def _add(retention: Retention, key: str, request_id: str | None = None, size: int = 0) -> Command:
    command = Command(key, request_id or f"r-{key}", "true", None, 0, 10**9)
    retention.add(command)
    if size:
        command.logs[0][1].append(b"x" * size)
        retention.took_in(size)
    return command


def _finish(retention: Retention, clock: Clock, command: Command, delivered: bool = False) -> None:
    command.finished, command.delivered, command.finished_at = True, delivered, clock.now
    retention.finished(command)


def _known(retention: Retention, *keys: str) -> list[bool]:
    return [retention.by_key(key) is not None for key in keys]


def test_finished_commands_are_forgotten_when_their_time_is_over(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """Running ones never are, however long they run."""
    old, running = _add(retention, "old"), _add(retention, "running")
    _finish(retention, clock, old)
    clock.now += limits.retain_s
    retention.sweep()
    assert _known(retention, "old", "running") == [True, True]
    clock.now += 1
    retention.sweep()
    assert _known(retention, "old", "running") == [False, True]
    assert retention.by_key("running") is running


def test_the_oldest_finished_go_when_they_are_too_much(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """By when they ended, not by when they began."""
    limits.total_bytes = CHECK_BYTES
    first, second, third = (_add(retention, key, size=CHECK_BYTES * 2 // 5) for key in "abc")
    for command in (third, first, second):
        _finish(retention, clock, command)
    retention.sweep()
    assert _known(retention, "a", "b", "c") == [True, True, False]


def test_their_number_alone_forgets_nothing(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """Ten minutes are promised, and not a number of commands."""
    for number in range(5000):
        _finish(retention, clock, _add(retention, str(number)), delivered=True)
        retention.sweep()
    assert all(_known(retention, *map(str, range(5000))))


def test_small_commands_are_bounded_by_what_they_take(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """A command that wrote nothing takes memory, too; the oldest go, and the sum stays right."""
    limits.total_bytes = CHECK_BYTES
    most = CHECK_BYTES // OWN_BYTES
    for number in range(3 * most):
        _finish(retention, clock, _add(retention, str(number)))
        retention.sweep()
    known = _known(retention, *map(str, range(3 * most)))
    assert known == sorted(known)
    assert most // 2 < sum(known) <= 2 * most


def test_a_command_takes_what_it_counts_with(retention: Retention, clock: Clock) -> None:
    """Else the bound in bytes would be none."""
    meta = {"key": "k" * 32, "request_id": "r" * 36, "command": "true", "cap": 1, "encoding": "u"}
    tracemalloc.start()
    try:
        for number in range(500):
            command = _add(retention, f"{number:032}", f"{number:036}")
            command.meta = dict(meta, key=command.key)
            command.logs[0][1].append(b"a line\n")
            _finish(retention, clock, command)
        taken = tracemalloc.get_traced_memory()[0] / 500
    finally:
        tracemalloc.stop()
    assert OWN_BYTES / 4 < taken < OWN_BYTES


def test_a_command_that_is_being_read_stays(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """Its reader would lose what it has not had yet."""
    command = _add(retention, "read")
    _finish(retention, clock, command)
    command.readers.append(object())
    clock.now += limits.retain_s + 1
    retention.sweep()
    assert _known(retention, "read") == [True]
    command.readers.clear()
    retention.sweep()
    assert _known(retention, "read") == [False]


def test_forgotten_keys_are_remembered_as_such(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """So that no key ever runs twice: the daemon refuses one that was here before."""
    assert not retention.was_forgotten("key")
    _finish(retention, clock, _add(retention, "key"))
    assert not retention.was_forgotten("key")
    clock.now += limits.retain_s + 1
    retention.sweep()
    assert retention.was_forgotten("key")


def test_forgotten_keys_are_bounded(
    retention: Retention, limits: Limits, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for ever would be no memory at all for a sandbox that lives for weeks."""
    monkeypatch.setattr(module, "REMEMBERED_KEYS", 3)
    for number in range(5):
        _finish(retention, clock, _add(retention, str(number)))
    clock.now += limits.retain_s + 1
    retention.sweep()
    assert [retention.was_forgotten(str(number)) for number in range(5)] == [
        *(False, False),
        *(True, True, True),
    ]


def test_by_request_finds_the_latest_of_that_id(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """Ids may be used again; forgetting the older one must not hide the newer."""
    older = _add(retention, "k1", "same")
    newer = _add(retention, "k2", "same")
    assert retention.by_request("same") is newer
    _finish(retention, clock, older)
    clock.now += limits.retain_s + 1
    retention.sweep()
    assert _known(retention, "k1") == [False]
    assert retention.by_request("same") is newer
    assert retention.by_request("never") is None


def test_too_much_output_lets_the_delivered_go_first(
    retention: Retention, limits: Limits, clock: Clock
) -> None:
    """What somebody has had to its end is missed least."""
    limits.total_bytes = CHECK_BYTES
    waiting = _add(retention, "not-delivered", size=CHECK_BYTES // 2)
    had = _add(retention, "delivered", size=CHECK_BYTES)
    _finish(retention, clock, waiting)
    _finish(retention, clock, had, delivered=True)
    retention.sweep()
    assert _known(retention, "not-delivered", "delivered") == [True, False]


def test_too_much_output_of_running_commands_is_shed_from_the_largest(
    retention: Retention, limits: Limits
) -> None:
    """They stay known; their oldest output becomes a gap."""
    limits.total_bytes = 4 * CHECK_BYTES
    large = _add(retention, "large", size=4 * CHECK_BYTES)
    small = _add(retention, "small", size=CHECK_BYTES)
    retention.sweep()
    assert _known(retention, "large", "small") == [True, True]
    assert large.kept + small.kept <= limits.total_bytes
    assert small.logs[0][1].kept == CHECK_BYTES
    assert large.logs[0][1].size == 4 * CHECK_BYTES


def test_a_sweep_below_the_bounds_forgets_nothing(retention: Retention, clock: Clock) -> None:
    """It runs after every turn of the loop."""
    for number in range(50):
        _finish(retention, clock, _add(retention, str(number), size=10 * KIB))
    retention.sweep()
    assert all(_known(retention, *map(str, range(50))))
    assert [command.key for command in retention.latest(3)] == ["47", "48", "49"]


@pytest.mark.parametrize("value", [0, -1, "many", None, [1]])
def test_limits_that_make_no_sense_are_passed_over(limits: Limits, value: object) -> None:
    """A gateway of another version may say anything; the defaults are safe."""
    before = dict(vars(limits))
    limits.configure(dict.fromkeys(before, value))
    assert vars(limits) == before


def test_limits_are_taken_over(limits: Limits) -> None:
    """And what is not mentioned stays."""
    limits.configure({"stream_bytes": 1024 * KIB, "retain_s": 5})
    assert (limits.tail_bytes, limits.head_bytes) == (1024 * KIB, 256 * KIB)
    assert (limits.retain_s, limits.kill_grace_s) == (5, 2)


def test_a_pid_and_a_tag_name_a_command_for_half_a_minute_after_its_end(
    retention: Retention, clock: Clock
) -> None:
    """The kernel gives pids anew; the latest that has one counts."""
    first, second = (
        Command(key, key, "true", None, 0, 0, Start({"tag": "t"})) for key in ("a", "b")
    )
    for command in (first, second):
        retention.add(command)
        command.pid = 7
        retention.began(command)
    assert retention.by_pid(7) is retention.by_tag("t") is second
    assert retention.running() == [first, second]

    _finish(retention, clock, second)
    clock.now += 29
    assert retention.by_pid(7) is retention.by_tag("t") is second
    assert retention.running() == [first]
    clock.now += 2
    assert retention.by_pid(7) is retention.by_tag("t") is None
    clock.now += 1000
    retention.sweep()
    assert not retention._by_pid
    assert not retention._by_tag
