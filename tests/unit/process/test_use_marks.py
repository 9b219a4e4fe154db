"""What is in use shows in other processes at once, for the price of a byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.process.use_marks import SLOTS, UseMarks, path_of
from gateway.process.worker_locks import WorkerRegistry


def test_what_is_in_use_is_seen_by_others(tmp_path: Path) -> None:
    """And no more when it is not."""
    here, elsewhere = UseMarks(tmp_path, "here"), UseMarks(tmp_path, "elsewhere")
    first, second = here.take(), here.take()
    assert first.slot is not None
    assert second.slot is not None
    slots = [first.slot, second.slot]
    assert elsewhere.in_use("here", slots) == set(slots)
    first.set(in_use=False)
    assert elsewhere.in_use("here", slots) == {slots[1]}
    second.give_back()
    assert elsewhere.in_use("here", slots) == set()
    for marks in (here, elsewhere):
        marks.close()
        marks.close()
    first.set(in_use=True)  # a request that ends after its worker has let go
    assert here.take().slot is not None


def test_of_a_worker_whose_marks_are_gone_all_is_in_use(tmp_path: Path) -> None:
    """It may be: nobody says that it is not."""
    marks = UseMarks(tmp_path, "here")
    assert marks.in_use("gone", [1, 2]) == {1, 2}
    path_of(tmp_path, "short").write_bytes(b"\0\0")
    assert marks.in_use("short", [1, 2]) == {2}
    marks.close()


def test_a_slot_is_given_again_as_late_as_can_be(tmp_path: Path) -> None:
    """Whoever reads a lease's row and then its mark must not find another's."""
    marks = UseMarks(tmp_path, "here")
    first = marks.take()
    slot = first.slot
    first.give_back()
    later = [marks.take().slot for _ in range(SLOTS)]
    assert later[-1] == slot
    assert marks.take().slot is None
    marks.close()


def test_marks_go_with_their_worker(tmp_path: Path) -> None:
    """When it leaves; and of a dead one when its lock is swept."""
    registry, other = WorkerRegistry(tmp_path), WorkerRegistry(tmp_path)
    marks = [UseMarks(tmp_path, one.worker_id) for one in (registry, other)]
    (tmp_path / "1-dead.lock").touch()
    path_of(tmp_path, "1-dead").touch()
    registry.sweep()
    left = {path.name for path in tmp_path.glob("*.uses")}
    assert left == {f"{one.worker_id}.uses" for one in (registry, other)}
    for one in (*marks, registry, other):
        one.close()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    """At the start, and no crash later."""
    with pytest.raises(StoreUnavailable):
        UseMarks(tmp_path / "missing", "here")
