"""Failures of the engine are counted by code; nothing else about it changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.engine.failure_count import counted
from gateway.errors import ContainerGone, EngineTimeout, StoreUnavailable


class _Engine:
    """As much of an engine as is asked."""

    def inspect(self, container_id: str) -> str:
        if container_id == "gone":
            raise ContainerGone("no container")
        if container_id == "store":
            raise StoreUnavailable("locked")
        return f"info of {container_id}"

    def events(self, labels: dict[str, str], since: float | None) -> Iterator[str]:
        yield "start"
        raise EngineTimeout("silent")


def test_a_failed_call_is_counted_by_its_code() -> None:
    """And fails as before; what is not the engine's fault is not held against it."""
    codes: list[str] = []
    engine: Any = counted(_Engine(), codes.append)  # type: ignore[arg-type]

    assert engine.inspect(container_id="c") == "info of c"
    for _ in range(2):
        with pytest.raises(ContainerGone):
            engine.inspect("gone")
    with pytest.raises(StoreUnavailable):
        engine.inspect("store")

    assert codes == ["container_gone", "container_gone"]


def test_an_iterator_that_fails_later_is_counted_too() -> None:
    """The stream of events breaks long after it was asked for."""
    codes: list[str] = []
    events = counted(_Engine(), codes.append).events({}, None)  # type: ignore[arg-type]

    assert next(events) == "start"
    assert codes == []
    with pytest.raises(EngineTimeout):
        next(events)

    assert codes == ["engine_timeout"]


def test_what_an_engine_lacks_is_missing_here_as_well() -> None:
    """Not a call that fails when it is made."""
    assert not hasattr(counted(_Engine(), print), "fly")  # type: ignore[arg-type]
