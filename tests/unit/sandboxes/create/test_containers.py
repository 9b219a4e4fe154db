"""Making one container comes to an end, whatever it waits for."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

import gevent
import pytest

from gateway.errors import EngineTimeout
from gateway.sandboxes.create import containers


class _NeverAnswers:
    """A host on which a call into the kernel does not return."""

    def check_room(self) -> None:
        gevent.sleep(60)


def test_a_host_that_does_not_answer_is_a_typed_error_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told so, and the log says where it waited."""
    monkeypatch.setattr(containers, "LIMIT_S", 0.1)
    nobody = cast(Any, None)
    made = containers.Containers(nobody, cast(Any, _NeverAnswers()), "instance", "none")
    started = time.monotonic()

    with caplog.at_level(logging.ERROR), pytest.raises(EngineTimeout):
        made.make(nobody, nobody, "sandbox-x")

    assert time.monotonic() - started < 5
    assert "in check_room" in caplog.text
