"""Calls into the kernel that take long: nobody waits for ever, and nothing is left of them."""

from __future__ import annotations

import gevent
import gevent.monkey
import pytest

from gateway.host import kernel_calls

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
