"""Tells leases of requests that are at work from those that linger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gateway.process.use_marks import UseMarks
from gateway.store.leases import LeaseStore
from gateway.store.rows import SandboxRow


class RequestsAtWork:
    """Looks at the marks that workers set (`gateway.sandboxes.life.request_leases`)."""

    def __init__(self, leases: LeaseStore, marks: UseMarks) -> None:
        self._leases = leases
        self._marks = marks

    def seen_in(self, rows: Sequence[SandboxRow]) -> list[SandboxRow]:
        """The rows, with `request_count` of lingering leases only. Raises StoreUnavailable."""
        asked = [row.sandbox_id for row in rows if row.request_count]
        at_work = self._at_work(asked) if asked else {}
        return [
            replace(row, request_count=max(0, row.request_count - at_work[row.sandbox_id]))
            if row.sandbox_id in at_work
            else row
            for row in rows
        ]

    def _at_work(self, sandbox_ids: list[str]) -> Counter[str]:
        by_worker: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
        for sandbox_id, lease_id, worker_id in self._leases.requests_among(sandbox_ids):
            by_worker[worker_id].append((sandbox_id, slot_of(lease_id)))
        found: Counter[str] = Counter()
        for worker_id, theirs in by_worker.items():
            marked = self._marks.in_use(worker_id, [slot for _, slot in theirs if slot is not None])
            found.update(name for name, slot in theirs if slot is None or slot in marked)
        return found


def lease_id_of(token: str, slot: int | None) -> str:
    """The id of a lease for requests, which names its mark."""
    return token if slot is None else f"{slot}.{token}"


def slot_of(lease_id: str) -> int | None:
    """None where it has no mark: it does not linger."""
    slot, dot, _token = lease_id.partition(".")
    return int(slot) if dot else None
