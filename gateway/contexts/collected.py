"""The whole of an execution, within bounds, for who does not want it piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from gateway.contexts.records import Began, Failed, Record, Shown, Written
from gateway.process.byte_budget import Holding

ROOM_BYTES = 256 * 1024
"""That is asked for at a time."""


class Collected:
    """Takes records. Of stdout, of stderr and of the results together it keeps `cap` bytes each,
    which count against `held`; its owner closes that."""

    def __init__(self, cap: int, held: Holding) -> None:
        self._cap = cap
        self._held = held
        self._kept = 0
        self._count: int | None = None
        self._texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._sizes = {"stdout": 0, "stderr": 0}
        self._results: list[dict[str, Any]] = []
        self._results_size = 0
        self._shown = 0
        self._error: dict[str, str] | None = None

    def take(self, records: Iterable[Record]) -> None:
        """Raises what `records` raises, TooMuchUnread and GatewayFull."""
        for record in records:
            self._take(record)

    def _take(self, record: Record) -> None:
        if isinstance(record, Began):
            self._count = record.execution_count
        elif isinstance(record, Written):
            self._write(record.stream, record.text)
        elif isinstance(record, Shown):
            self._shown += 1
            size = len(orjson.dumps(record.data))
            if self._results_size + size <= self._cap:
                self._results_size += size
                self._keep(size)
                self._results.append(record.data)
        elif self._error is None:
            self._error = _written(record)

    def _write(self, stream: str, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        room = self._cap - self._sizes[stream]
        self._sizes[stream] += len(raw)
        if room > 0:
            kept = raw[:room].decode("utf-8", "ignore") if len(raw) > room else text
            self._keep(min(len(raw), room))
            self._texts[stream].append(kept)

    def _keep(self, size: int) -> None:
        self._kept += size
        while self._kept > self._held.size:
            self._held.take(ROOM_BYTES)

    def whole(self) -> dict[str, Any]:
        """As `gateway.schemas.models.ExecutionResult`."""
        told: dict[str, Any] = {
            "execution_count": self._count,
            **{name: "".join(texts) for name, texts in self._texts.items()},
            "results": self._results,
            "error": self._error,
        }
        is_cut = max(self._sizes.values()) > self._cap or self._shown > len(self._results)
        if is_cut:
            told["truncated"] = {
                **{f"{name}_bytes": size for name, size in self._sizes.items()},
                "results": self._shown,
            }
        return told


def _written(record: Failed) -> dict[str, str]:
    return {"name": record.name, "value": record.value, "traceback": record.traceback}
