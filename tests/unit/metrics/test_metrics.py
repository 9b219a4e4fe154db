"""What is counted, over several workers and over those that were killed.

A worker is a process of its own here: what a `kill -9` leaves is what the kernel leaves.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import StoreUnavailable
from gateway.metrics import Exposition, Metrics
from tests.support.markdown import Page

ROOT = Path(__file__).resolve().parents[3]

_WORKER = """
import sys
from pathlib import Path
from gateway.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class _Census:
    """What there is, or why it cannot be said."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def sandboxes_by_state(self) -> dict[str, int]:
        if self.failure is not None:
            raise self.failure
        return {"idle": 3, "connected": 0}

    def pool_ready(self) -> dict[tuple[str, str], int]:
        return {('im"age', "strict"): 2}

    def queue_length(self) -> int:
        return 5


class _Worker:
    """Counts in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.do("pass")

    def do(self, line: str) -> None:
        """Run one line of Python that knows `metrics`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        """`kill -9`. May be repeated."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


class _Workers:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._all: list[_Worker] = []

    def start(self) -> _Worker:
        self._all.append(_Worker(self._directory))
        return self._all[-1]

    def kill(self) -> None:
        for worker in self._all:
            worker.kill()


@pytest.fixture
def census() -> _Census:
    return _Census()


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metrics]:
    """A worker whose master is this process too, as it is that of `workers`."""
    monkeypatch.setattr(os, "getppid", os.getpid)
    metrics = Metrics(tmp_path)
    yield metrics
    metrics.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[_Workers]:
    """Makes further workers of the same gateway."""
    workers = _Workers(tmp_path)
    yield workers
    workers.kill()


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(metrics: Metrics, census: _Census | None = None) -> Samples:
    text = Exposition(metrics.slot, census or _Census(), "1.2.3").text().decode()
    return {
        (sample.name.removeprefix("sandbox_gateway_"), tuple(sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return _samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_each_verb_counts_what_it_says(metrics: Metrics) -> None:
    """Dashboards are built on these names; a slip here is seen nowhere else."""
    metrics.created("warm", 0.012)
    metrics.created("cold", 40.0)
    metrics.create_failed("cold")
    metrics.pool_hit()
    metrics.pool_miss()
    metrics.refused("queue_full")
    metrics.command_ended("nonzero", 0.004, 100)
    metrics.command_went_on("unseen")
    metrics.sent(10)
    metrics.received(4)
    metrics.links_changed(2)
    metrics.links_changed(-1)
    metrics.engine_failed("engine_timeout")
    metrics.ended("idle")
    metrics.housekeeping_failed("expire")

    with metrics.websocket():
        found = _samples(metrics)

    def of(name: str, **labels: str) -> float | None:
        return found.get((name, tuple(sorted(labels.items()))))

    assert of("creates_total", kind="warm", outcome="ok") == 1
    assert of("creates_total", kind="cold", outcome="failed") == 1
    assert of("create_seconds_bucket", kind="warm", le="0.01") == 0
    assert of("create_seconds_bucket", kind="warm", le="0.02") == 1
    assert of("create_seconds_bucket", kind="cold", le="30.0") == 0
    assert of("create_seconds_bucket", kind="cold", le="+Inf") == 1
    assert of("create_seconds_sum", kind="cold") == 40
    assert of("pool_hits_total") == of("pool_misses_total") == 1
    assert of("admission_refusals_total", reason="queue_full") == 1
    assert of("commands_total", outcome="nonzero") == of("commands_total", outcome="unseen") == 1
    assert of("command_seconds_count") == 1
    assert of("command_output_bytes_total") == 100
    assert of("websocket_bytes_total", direction="to_client") == 10
    assert of("websocket_bytes_total", direction="from_client") == 4
    assert of("links") == of("websockets") == of("workers") == 1
    assert of("engine_errors_total", kind="engine_timeout") == 1
    assert of("sandboxes_ended_total", reason="idle") == 1
    assert of("housekeeping_failures_total", job="expire") == 1
    assert of("sandboxes", state="idle") == 3
    assert of("pool_ready", image='im"age', isolation="strict") == 2
    assert of("queue_length") == 5
    assert of("build_info", version="1.2.3") == 1
    assert _value(metrics, "websockets") == 0


def test_what_has_not_happened_is_shown_as_zero(metrics: Metrics) -> None:
    """A series that appears with 1 has no increase that an alert could see."""
    for outcome in ("ok", "nonzero", "timed_out", "lost", "unseen"):
        assert _value(metrics, "commands_total", outcome=outcome) == 0
    assert _value(metrics, "creates_total", kind="warm", outcome="failed") == 0
    assert _value(metrics, "create_seconds_bucket", kind="warm", le="+Inf") == 0


def test_the_names_follow_prometheus_conventions(metrics: Metrics) -> None:
    """Base units, `_total` on counters alone, one prefix, and a help text on each."""
    text = Exposition(metrics.slot, _Census(), "1").text().decode()
    families = list(text_string_to_metric_families(text))

    assert len(families) >= 15
    for family in families:
        assert family.name.startswith("sandbox_gateway_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_every_metric_is_documented(metrics: Metrics) -> None:
    """Whoever builds a dashboard reads the table of docs/operation.md, and no other name exists."""
    metrics.refused("queue_full")
    metrics.ended("idle")
    metrics.housekeeping_failed("expiry")
    metrics.engine_failed("engine_timeout")
    exposed = {
        re.sub("_(bucket|sum|count|created)$", "", name) if "_seconds" in name else name
        for name, _ in _samples(metrics)
    }
    table = [row[0].strip("`") for row in Page("docs/operation.md").rows]

    documented = [name.removeprefix("sandbox_gateway_") for name in table if "_" in name]
    assert sorted(documented) == sorted(exposed)


def test_workers_add_up(metrics: Metrics, workers: _Workers) -> None:
    """Whichever is asked: a scrape that reached one worker would show a part of the truth."""
    for times in (2, 3):
        workers.start().do(f"for _ in range({times}): metrics.command_ended('ok', 0.5, 7)")
    metrics.command_ended("ok", 0.5, 7)

    assert _value(metrics, "commands_total", outcome="ok") == 6
    assert _value(metrics, "command_output_bytes_total") == 42
    assert _value(metrics, "command_seconds_count") == 6
    assert _value(metrics, "command_seconds_bucket", le="0.5") == 6
    assert _value(metrics, "workers") == 3


def test_a_killed_worker_leaves_its_counts_but_none_of_its_gauges(
    metrics: Metrics, workers: _Workers
) -> None:
    """A counter that falls is taken for a restart; links of a dead process are not open."""
    worker = workers.start()
    worker.do("metrics.links_changed(5); metrics.command_ended('ok', 1, 1)")
    assert _value(metrics, "links") == 5

    worker.kill()

    assert _value(metrics, "links") == 0
    assert _value(metrics, "workers") == 1
    assert _value(metrics, "commands_total", outcome="ok") == 1


def test_the_next_worker_counts_on_in_the_dead_ones_place(
    metrics: Metrics, workers: _Workers, tmp_path: Path
) -> None:
    """Else a gateway whose workers are killed a thousand times reads a thousand files."""
    for times in range(1, 6):
        worker = workers.start()
        assert _value(metrics, "links") == 0
        worker.do("metrics.links_changed(5); metrics.created('cold', 1)")
        assert _value(metrics, "links") == 5
        worker.kill()
        assert _value(metrics, "creates_total", kind="cold", outcome="ok") == times
        assert _value(metrics, "create_seconds_count", kind="cold") == times

    assert len(list(tmp_path.rglob("*.db"))) == 2 * 3


@pytest.mark.long
def test_a_worker_killed_while_it_counts_spoils_nothing(
    metrics: Metrics, workers: _Workers
) -> None:
    """At any instant: what is read stays readable, and never falls."""
    seen = 0.0
    for _ in range(5):
        worker = workers.start()
        process = worker._process
        assert process.stdin is not None
        process.stdin.write("while True: metrics.command_ended('ok', 0.5, 1)\n")
        for _ in range(20):
            now = _value(metrics, "commands_total", outcome="ok")
            assert now is not None
            assert now >= seen
            seen = now
        time.sleep(0.01)
        worker.kill()

    now = _value(metrics, "commands_total", outcome="ok")
    assert now is not None
    assert now >= seen > 0


def test_a_new_run_begins_at_zero_and_removes_the_old_one(
    metrics: Metrics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master is another process then, whatever started it."""
    metrics.created("cold", 1)
    [old] = [path for path in tmp_path.iterdir() if path.is_dir()]
    monkeypatch.setattr(os, "getppid", lambda: 1)

    beside = Metrics(tmp_path)
    assert _value(beside, "creates_total", kind="cold", outcome="ok") == 0
    assert old.exists(), "its worker is alive"
    metrics.close()
    beside.close()
    after = Metrics(tmp_path)

    assert _value(after, "creates_total", kind="cold", outcome="ok") == 0
    assert not old.exists()
    after.close()


def test_several_in_one_process_do_not_mix(tmp_path: Path) -> None:
    """Tests make many applications; the library's own registry takes each name once."""
    first, second = Metrics(tmp_path / "a"), Metrics(tmp_path / "b")
    first.pool_hit()

    assert _value(first, "pool_hits_total") == 1
    assert _value(second, "pool_hits_total") == 0
    for metrics in (first, second):
        metrics.close()


def test_a_store_that_cannot_be_read_costs_the_census_alone(
    metrics: Metrics, census: _Census
) -> None:
    """Metrics are needed most when something is broken."""
    metrics.pool_hit()
    census.failure = StoreUnavailable("locked")

    found = _samples(metrics, census)

    assert found["pool_hits_total", ()] == 1
    assert not any(name == "sandboxes" for name, _ in found)


def test_counting_goes_nowhere_after_the_end(metrics: Metrics, tmp_path: Path) -> None:
    """The last greenlets of a worker end after what they used; `close` may be repeated. Another
    worker may count in the same files by then."""
    metrics.pool_hit()
    metrics.close()
    metrics.close()
    after = Metrics(tmp_path)
    after.pool_hit()

    metrics.pool_hit()
    metrics.refused("new reason")

    assert after.slot.slot == metrics.slot.slot
    assert _value(after, "pool_hits_total") == 2
    assert _value(after, "admission_refusals_total", reason="new reason") is None
    after.close()


def test_a_directory_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    """As for the rest of the data directory."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="metrics"):
        Metrics(tmp_path / "file")


def test_room_on_the_disk_is_reserved_before_it_is_written_to(
    metrics: Metrics, tmp_path: Path
) -> None:
    """A page of a mapped file that a full disk has no room for kills the process with SIGBUS."""
    for path in tmp_path.rglob("*.db"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size == 64 * 1024
