"""The parts of a worker process together: without an engine, over a real data directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.runtime import Runtime
from gateway.settings import Settings
from tests.support.eventually import eventually


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a gateway whose engine does not answer."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    return Settings(data_dir=tmp_path / "data")


def _open_below(directory: Path) -> set[str]:
    """The files there that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:  # that of the look itself
            continue
        if target.startswith(str(directory)):
            found.add(target)
    return found


def test_a_runtime_that_was_released_leaves_no_file_open(settings: Settings) -> None:
    """Locks among them: other workers take over by them."""
    runtime = Runtime(settings)
    runtime.start()
    assert _open_below(settings.data_dir)

    runtime.close()
    runtime.release()

    eventually(lambda: not _open_below(settings.data_dir))


def test_a_failing_close_keeps_nothing_from_its_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in one part must not leave the worker's locks to the kernel, and its clients without
    a word."""
    runtime = Runtime(settings)
    runtime.start()

    def fail() -> None:
        raise RuntimeError("a defect")

    closed: list[Any] = []
    monkeypatch.setattr(runtime.services.connections, "_all", fail)
    monkeypatch.setattr(runtime.inside.history._flusher, "close", lambda: closed.append("history"))

    with pytest.raises(RuntimeError, match="a defect"):
        runtime.close()
    runtime.release()

    assert closed == ["history"]
    eventually(lambda: not _open_below(settings.data_dir))


def test_what_was_built_before_a_failure_is_let_go_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn starts another worker in the same place."""

    def fail(*_arguments: object, **_named: object) -> None:
        raise StoreUnavailable("a defect")

    monkeypatch.setattr("gateway.runtime.inside_sandboxes.HistoryStore", fail)

    with pytest.raises(StoreUnavailable):
        Runtime(settings)

    assert not _open_below(settings.data_dir)
