"""Requests per second, over all workers, without a service for it."""

from __future__ import annotations

import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.identity import rate_limits as rates_module
from gateway.identity.rate_limits import RateLimits


@pytest.fixture
def rates(tmp_path: Path) -> Iterator[RateLimits]:
    rates = RateLimits(tmp_path / "rates")
    yield rates
    rates.close()


def test_a_seconds_worth_may_come_at_once(rates: RateLimits) -> None:
    """Then one for each that is due again; what is refused does not count."""
    assert [rates.take("a", 5, now=100.0) for _ in range(5)] == [0.0] * 5
    for _ in range(10):
        assert rates.take("a", 5, now=100.0) == pytest.approx(0.2)
    assert rates.take("a", 5, now=100.1) == pytest.approx(0.1)
    assert rates.take("a", 5, now=100.2001) == 0.0
    assert rates.take("a", 5, now=100.2001) > 0
    assert [rates.take("a", 5, now=200.0) for _ in range(5)] == [0.0] * 5


def test_keys_are_counted_apart(rates: RateLimits) -> None:
    """One tenant's flood is not another's."""
    assert rates.take("a", 1, now=100.0) == 0.0
    assert rates.take("a", 1, now=100.0) > 0
    assert rates.take("b", 1, now=100.0) == 0.0


def test_less_than_one_a_second(rates: RateLimits) -> None:
    """One, then the pause."""
    assert rates.take("a", 0.1, now=100.0) == 0.0
    assert rates.take("a", 0.1, now=105.0) == pytest.approx(5.0)
    assert rates.take("a", 0.1, now=110.001) == 0.0


def test_boot_time_that_began_anew_locks_nobody_out(rates: RateLimits) -> None:
    """The file outlives the machine's restart."""
    for _ in range(5):
        rates.take("a", 5, now=1_000_000.0)

    assert rates.take("a", 5, now=10.0) <= 0.2
    assert rates.take("a", 5, now=10.3) == 0.0


@contextmanager
def _flood(directory: Path, workers: int, pause_s: float) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that take as fast as they can for two seconds, at 50 a second."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from gateway import clock\n"
        "from gateway.identity.rate_limits import RateLimits\n"
        "rates, taken = RateLimits(Path(sys.argv[1])), 0\n"
        "print(flush=True); sys.stdin.readline()\n"
        "first = last = clock.boot_s()\n"
        "while last < first + 2:\n"
        "    taken += rates.take('a', 50) == 0.0\n"
        "    last = clock.boot_s()\n"
        "    time.sleep(float(sys.argv[2]))\n"
        "print(taken, first, last)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(directory), str(pause_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(workers)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # all have imported what they need
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _taken(processes: list[subprocess.Popen[str]]) -> tuple[int, float]:
    return _added([process.communicate(timeout=60)[0] for process in processes])


def _added(told: list[str]) -> tuple[int, float]:
    """How many were let through, and in what time."""
    taken, first, last = zip(*(map(float, line.split()) for line in told), strict=True)
    return int(sum(taken)), max(last) - min(first)


def test_workers_share_one_limit(tmp_path: Path) -> None:
    """Four processes as fast as they can for two seconds: exactly what the limit allows."""
    with _flood(tmp_path / "rates", 4, 0.0005) as workers:
        taken, took_s = _taken(workers)

    # 50 at once, then 50 a second: 150 after two seconds, a few more where it took longer.
    assert 120 <= taken <= 51 + 50 * took_s


@pytest.mark.long
def test_a_busy_machine_lets_no_more_through(tmp_path: Path) -> None:
    """More processes than cores, and others that use all they get: each is interrupted for long in
    the middle of counting. With a lock that was given up after 200 attempts, and a clock read
    before it, ten to forty times the limit went through."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        with _flood(tmp_path / "rates", 8, 0.0) as workers:
            taken, took_s = _taken(workers)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()

    assert 50 <= taken <= 51 + 50 * took_s


def test_a_worker_that_stands_still_stops_nobody(tmp_path: Path) -> None:
    """Wherever a debugger or SIGSTOP finds it: the others count on, and exactly."""
    with _flood(tmp_path / "rates", 3, 0.0) as workers:
        for _ in range(20):
            workers[0].send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            workers[0].send_signal(signal.SIGCONT)
            time.sleep(0.002)
        workers[0].send_signal(signal.SIGSTOP)
        others = [worker.stdout.read() for worker in workers[1:] if worker.stdout is not None]
        workers[0].send_signal(signal.SIGCONT)
        taken, took_s = _added([*others, workers[0].communicate(timeout=60)[0]])

    assert sum(int(told.split()[0]) for told in others) >= 50
    assert taken <= 51 + 50 * took_s


def test_a_request_that_another_overtakes_is_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading and writing another worker counts one: both are counted."""
    slow, fast = RateLimits(tmp_path / "rates"), RateLimits(tmp_path / "rates")
    slow.take("a", 5, now=100.0)
    swap, overtaken = rates_module._swap, []

    def after_another(*arguments: Any) -> bool:
        if not overtaken:
            overtaken.append(True)
            assert fast.take("a", 5, now=100.0) == 0.0
        return swap(*arguments)

    monkeypatch.setattr(rates_module, "_swap", after_another)
    assert slow.take("a", 5, now=100.0) == 0.0
    assert [fast.take("a", 5, now=100.0) for _ in range(2)] == [0.0] * 2
    assert slow.take("a", 5, now=100.0) == pytest.approx(0.2)

    slow.close()
    fast.close()


def test_what_somebody_has_removed_is_made_again(rates: RateLimits, tmp_path: Path) -> None:
    """And counting begins anew."""
    rates.take("a", 1, now=100.0)
    shutil.rmtree(tmp_path / "rates")

    assert rates.take("a", 1, now=100.0) == 0.0
    assert rates.take("a", 1, now=100.0) > 0
    assert len(list((tmp_path / "rates" / "a").iterdir())) == 1


def test_it_costs_next_to_nothing(rates: RateLimits) -> None:
    """At most a tenth of a millisecond per request; here about 10 µs. The median, because the
    machine does other things as well."""
    took = []
    for _ in range(2000):
        begun = time.perf_counter()
        rates.take("a", 1_000_000)
        took.append(time.perf_counter() - begun)

    assert statistics.median(took) < 0.0001


def test_a_directory_that_cannot_be_used_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk must not lock everybody out, nor let everything through: each worker counts its
    own."""
    (tmp_path / "file").write_text("")
    rates = RateLimits(tmp_path / "file" / "rates")

    assert rates.take("a", 1, now=100.0) == 0.0
    assert "counted per worker" in caplog.text
    assert rates.take("a", 1, now=100.0) == pytest.approx(1.0)
