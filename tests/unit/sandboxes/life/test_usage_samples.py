"""What sandboxes used over time: kept for an hour, and no longer than its sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.host.container_use import ContainerUse, use_of
from gateway.sandboxes.life import usage_samples
from gateway.sandboxes.life.usage_samples import KEPT, UsageSamples
from gateway.store.rows import SandboxRow
from tests.support.rows import row_of

USE = ContainerUse(cpu_s=1.0, memory=2, cache=3, disk=4, disk_size=5)


def _row(sandbox_id: str, **changed: object) -> SandboxRow:
    return row_of(**{"sandbox_id": sandbox_id, "state": "ready", "pid": 7, **changed})


def test_samples_are_those_of_sandboxes_that_run(tmp_path: Path) -> None:
    """A paused one uses nothing; what is not this machine's is not known."""
    rows = [_row("a"), _row("b", state="paused"), _row("c", pid=None), _row("d", pid=8)]

    def use(pid: int) -> ContainerUse:
        if pid == 8:
            raise FileNotFoundError(pid)
        return USE

    samples = UsageSamples(tmp_path / "usage", lambda: rows, use)
    samples.take()

    assert [len(samples.of(one)) for one in "abcd"] == [1, 0, 0, 0]
    [sample] = samples.of("a")
    assert (sample.memory, sample.cache, sample.disk, sample.disk_size) == (2, 3, 4, 5)
    assert sample.cpu_percent == 0


def test_cpu_is_counted_between_two_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a part of one core."""
    used = [1.0, 2.0, 2.0]
    now = iter([10.0, 12.0, 14.0])
    monkeypatch.setattr(usage_samples.clock, "boot_s", lambda: next(now))
    samples = UsageSamples(
        tmp_path, lambda: [_row("a")], lambda _pid: ContainerUse(used.pop(0), 0, 0, 0, 0)
    )
    for _ in range(3):
        samples.take()

    assert [one.cpu_percent for one in samples.of("a")] == [0.0, 50.0, 0.0]


def test_what_is_kept_is_bounded_and_goes_with_its_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else looks after these files. The newest ones are kept."""
    monkeypatch.setattr(usage_samples, "KEPT", 10)
    rows = [_row("a")]
    count = iter(range(1000))
    samples = UsageSamples(
        tmp_path, lambda: rows, lambda _pid: ContainerUse(0, next(count), 0, 0, 0)
    )
    for _ in range(45):
        samples.take()

    assert [one.memory for one in samples.of("a")] == list(range(35, 45))
    assert (tmp_path / "a").stat().st_size < 20 * 48
    rows.clear()
    samples.take()
    assert os.listdir(tmp_path) == []
    assert KEPT == 720


def test_a_half_written_record_is_not_read(tmp_path: Path) -> None:
    """The gateway may be killed at any time."""
    samples = UsageSamples(tmp_path, lambda: [_row("a")], lambda _pid: USE)
    samples.take()
    with (tmp_path / "a").open("ab") as file:
        file.write(b"half")

    assert len(samples.of("a")) == 1


def test_the_kernel_tells_what_a_process_group_uses() -> None:
    """Of this process itself: any will do."""
    use = use_of(os.getpid())

    assert use.cpu_s > 0
    assert use.memory > 0
    assert use.disk_size >= use.disk > 0
