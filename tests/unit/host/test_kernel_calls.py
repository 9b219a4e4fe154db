"""Calls into the kernel that take long: nobody waits for ever, and nothing is left of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import gevent
import gevent.monkey
import pytest

from gateway.errors import HostToolFailed
from gateway.host import kernel_calls, layer_disks, programs
from gateway.host.loop_device import copy_data

sleep = gevent.monkey.get_original("time", "sleep")


def test_a_call_that_does_not_return_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it makes after all is unmade."""
    monkeypatch.setattr(kernel_calls, "LIMIT_S", 0.1)
    undone: list[str] = []

    def makes_late() -> str:
        sleep(0.4)
        return "device"

    with pytest.raises(TimeoutError):
        kernel_calls.in_thread(makes_late, undone.append)

    assert undone == []
    gevent.sleep(0.6)
    assert undone == ["device"]


def test_the_hub_goes_on_meanwhile() -> None:
    """A worker whose hub waits for the kernel answers nobody."""
    ticks: list[int] = []
    ticking = gevent.spawn(lambda: [(ticks.append(n), gevent.sleep(0.01)) for n in range(100)])

    kernel_calls.in_thread(lambda: sleep(0.3))

    assert len(ticks) > 5
    ticking.kill()


def test_what_is_no_hole_is_copied_where_it_was(tmp_path: Path) -> None:
    """The start, the end and something between, of a file that is nearly empty."""
    size = 64 << 20
    target = tmp_path / "device"
    target.touch()
    os.truncate(target, size)
    image = os.memfd_create("image")
    os.truncate(image, size)
    for offset, data in ((0, b"start"), (5 << 20, b"x" * (3 << 20)), (size - 3, b"end")):
        os.pwrite(image, data, offset)
    whole = os.pread(image, size, 0)

    copy_data(image, str(target))

    assert target.read_bytes() == whole
    assert target.stat().st_blocks * 512 < 5 << 20
    os.close(image)


@pytest.mark.parametrize(("even_late", "done"), [(False, []), (True, ["late"])])
def test_what_nobody_waits_for_any_more_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, even_late: bool, done: list[str]
) -> None:
    """All threads are busy until the limit: the device may belong to another sandbox by then."""
    monkeypatch.setattr(kernel_calls, "LIMIT_S", 0.1)
    pool = gevent.get_hub().threadpool
    busy = [pool.spawn(sleep, 0.5) for _ in range(pool.maxsize - 1)]
    seen: list[str] = []
    holder = gevent.spawn(pool.apply, sleep, (0.5,))
    gevent.sleep(0)

    with pytest.raises(OSError, match="no answer"):
        kernel_calls.in_thread(lambda: seen.append("late"), even_late=even_late)

    gevent.joinall([holder, *busy])
    gevent.sleep(0.3)
    assert seen == done


def _takes_too_long() -> None:
    raise programs.TookTooLong("mkfs.ext4 took longer than 30 s")


def _is_refused() -> None:
    raise HostToolFailed("mkfs.ext4: status 1")


@pytest.mark.parametrize(("attempt", "decided"), [(_takes_too_long, False), (_is_refused, True)])
def test_slowness_decides_nothing_about_a_hosts_abilities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attempt: Callable[[], None], decided: bool
) -> None:
    """A worker that once had to wait would else enforce no limits for the rest of its life."""
    (tmp_path / "overlay2").mkdir()
    monkeypatch.setattr(programs, "is_root", lambda: True)
    monkeypatch.setattr(layer_disks, "_device", lambda *_: contextlib.nullcontext(""))
    monkeypatch.setattr(layer_disks, "_make_file_system", lambda *_: attempt())
    disks = layer_disks.LayerDisks(lambda: str(tmp_path))

    if decided:
        assert disks.enforcement() == "watchdog"
    else:
        with pytest.raises(HostToolFailed):
            disks.enforcement()


def test_whoever_asks_meanwhile_waits_for_the_one_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fresh gateway's first creates and its posture ask at the same time."""
    (tmp_path / "overlay2").mkdir()
    tried = []

    def attempt() -> None:
        tried.append(1)
        gevent.sleep(0.05)
        raise HostToolFailed("mkfs.ext4: status 1")

    monkeypatch.setattr(programs, "is_root", lambda: True)
    monkeypatch.setattr(layer_disks, "_device", lambda *_: contextlib.nullcontext(""))
    monkeypatch.setattr(layer_disks, "_make_file_system", lambda *_: attempt())
    disks = layer_disks.LayerDisks(lambda: str(tmp_path))

    asking = [gevent.spawn(disks.enforcement) for _ in range(3)]

    gevent.joinall(asking, timeout=5, raise_error=True)
    assert [one.value for one in asking] == ["watchdog"] * 3
    assert len(tried) == 1
