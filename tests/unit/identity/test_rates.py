"""Requests per second, over all workers, without a service for it."""

from __future__ import annotations

import fcntl
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.identity.rates import RateLimits


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


def test_workers_share_one_limit(tmp_path: Path) -> None:
    """Four processes as fast as they can for two seconds: exactly what the limit allows."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from gateway.identity.rates import RateLimits\n"
        "rates, taken, start = RateLimits(Path(sys.argv[1])), 0, float(sys.argv[2])\n"
        "time.sleep(max(0, start - time.time()))\n"
        "while time.time() < start + 2:\n"
        "    taken += rates.take('a', 50) == 0.0\n"
        "    time.sleep(0.0005)\n"
        "print(taken)"
    )
    start = str(time.time() + 1.5)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "rates"), start],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    taken = sum(int(worker.communicate(timeout=60)[0]) for worker in workers)

    # 50 at once, then 50 a second: 150 after two seconds, and a few for a slow machine's end.
    assert 120 <= taken <= 155


def test_a_worker_that_stands_still_with_the_lock_stops_nobody(
    rates: RateLimits, tmp_path: Path
) -> None:
    """A request is let through rather than hold the whole worker up."""
    rates.take("a", 5)
    other = os.open(tmp_path / "rates" / "a", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        begun = time.monotonic()
        assert [rates.take("a", 5) for _ in range(10)] == [0.0] * 10
        assert time.monotonic() - begun < 1
    finally:
        os.close(other)


def test_it_costs_next_to_nothing(rates: RateLimits) -> None:
    """At most a tenth of a millisecond per request; here about 5 µs. The median, because the
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
    """A full disk must not lock everybody out."""
    (tmp_path / "file").write_text("")

    assert RateLimits(tmp_path / "file" / "rates").take("a", 1) == 0.0
    assert "cannot be counted" in caplog.text
