"""Jobs run in one worker only, again and again, whatever one of them or the clock does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from gateway import clock
from gateway.errors import EngineUnavailable
from gateway.process import housekeeping
from gateway.process.housekeeping import Housekeeping


class _Leadership:
    """As much of one as Housekeeping needs."""

    def __init__(self, mine: bool) -> None:
        self.mine = mine
        self.closed = 0

    def acquire(self) -> bool:
        return self.mine

    def close(self) -> None:
        self.closed += 1


class _Jobs:
    """Counts how often each job has run."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def work(self) -> None:
        self.runs.append("work")

    def fail(self) -> None:
        self.runs.append("fail")
        raise ZeroDivisionError

    def fail_by_the_engine(self) -> None:
        self.runs.append("engine")
        raise EngineUnavailable

    def count(self, name: str) -> int:
        return self.runs.count(name)


@pytest.fixture(autouse=True)
def _quick_elections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "ELECTION_S", 0.02)


@pytest.fixture
def jobs() -> _Jobs:
    return _Jobs()


@pytest.fixture
def house(jobs: _Jobs) -> Iterator[list[Housekeeping]]:
    kept: list[Housekeeping] = []
    yield kept
    for one in kept:
        one.close()


def _wait(reached) -> None:
    deadline = time.monotonic() + 5
    while not reached():
        assert time.monotonic() < deadline
        gevent.sleep(0.01)


def test_a_failing_job_stops_neither_itself_nor_the_others(
    jobs: _Jobs, house: list[Housekeeping], caplog: pytest.LogCaptureFixture
) -> None:
    """One sandbox that cannot be removed must not end the clean-up for all. Failures are told, for
    the metrics."""
    failed: list[str] = []
    house.append(
        Housekeeping(
            _Leadership(True),
            [
                ("bad", 0.03, jobs.fail),
                ("engine", 0.03, jobs.fail_by_the_engine),
                ("good", 0.03, jobs.work),
            ],
            duties=[lambda: gevent.sleep(60)],
            on_failure=failed.append,
        )
    )
    house[0].start()

    _wait(lambda: min(jobs.count(name) for name in ("work", "fail", "engine")) >= 3)
    assert "ZeroDivisionError" in caplog.text
    _wait(lambda: failed.count("bad") >= 3 and failed.count("engine") >= 3)
    assert {*failed} == {"bad", "engine"}


def test_who_is_not_elected_does_nothing_until_elected(
    jobs: _Jobs, house: list[Housekeeping]
) -> None:
    """Two workers that both swept would remove twice; when the leader dies the other takes over."""
    leadership = _Leadership(False)
    house.append(Housekeeping(leadership, [("job", 0.02, jobs.work)], duties=[jobs.work]))
    house[0].start()
    gevent.sleep(0.2)
    assert jobs.runs == []

    leadership.mine = True

    _wait(lambda: jobs.count("work") >= 3)


def test_a_job_runs_at_once_when_elected(jobs: _Jobs, house: list[Housekeeping]) -> None:
    """After a restart nobody waits for an interval until what is left over is cleaned up."""
    house.append(Housekeeping(_Leadership(True), [("hourly", 3600, jobs.work)], duties=[]))
    house[0].start()

    _wait(lambda: jobs.count("work") == 1)


@pytest.mark.parametrize("jump_s", [7200, -7200])
def test_a_jump_of_the_clock_delays_nothing(
    jobs: _Jobs, house: list[Housekeeping], monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """APScheduler plans by wall time; two hours back would mean two hours without clean-up."""
    house.append(Housekeeping(_Leadership(True), [("hourly", 3600, jobs.work)], duties=[]))
    house[0].start()
    _wait(lambda: jobs.count("work") == 1)

    real = clock.wall_s
    monkeypatch.setattr(clock, "wall_s", lambda: real() + jump_s)

    _wait(lambda: jobs.count("work") == 2)


def test_close_ends_everything_and_gives_the_leadership_up(
    jobs: _Jobs, house: list[Housekeeping]
) -> None:
    """Twice, as a worker that is told to stop twice does."""
    leadership = _Leadership(True)
    house.append(Housekeeping(leadership, [("job", 0.02, jobs.work)], duties=[]))
    house[0].start()
    _wait(lambda: jobs.count("work") >= 1)

    house[0].close()
    house[0].close()

    done = jobs.count("work")
    gevent.sleep(0.15)
    assert jobs.count("work") <= done + 1
    assert leadership.closed >= 1
