"""What E2B's control plane tells of a sandbox beyond its state: what it uses, and its log."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from flask import Blueprint, Response, request

from gateway.api.e2b.backend import EventLike, LifecycleService, SandboxService, SandboxView
from gateway.api.e2b.control_answers import time_of, written
from gateway.api.e2b.control_lists import MOST_PER_PAGE, whole
from gateway.errors import SandboxNotFound
from gateway.middleware import authentication

MIB = 1024 * 1024

MOST_EVENTS = 1000

LATEST = 2**53


class Sample(Protocol):
    """What a sandbox used at a time; see `gateway.sandboxes.life.usage_samples.Sample`."""

    @property
    def at(self) -> float: ...

    @property
    def cpu_percent(self) -> float: ...

    @property
    def memory(self) -> int: ...

    @property
    def cache(self) -> int: ...

    @property
    def disk(self) -> int: ...

    @property
    def disk_size(self) -> int: ...


SamplesOf = Callable[[str], Sequence[Sample]]


def blueprint(
    sandboxes: SandboxService, samples_of: SamplesOf, lifecycle: LifecycleService
) -> Blueprint:
    """Metrics and logs."""
    routes = Blueprint("e2b_insight", __name__, url_prefix="/e2b/control")

    @routes.get("/sandboxes/<sandbox_id>/metrics")
    def metrics(sandbox_id: str) -> Response:
        begin, end = whole("start", 0, 0, LATEST), whole("end", LATEST, 0, LATEST)
        view = sandboxes.get(sandbox_id)
        found = [one for one in samples_of(view.sandbox_id) if begin <= one.at < end + 1]
        return written([_metric(one, view) for one in found])

    @routes.get("/sandboxes/metrics")
    def metrics_of_several() -> Response:
        asked = request.args.get("sandbox_ids", "").split(",")[:MOST_PER_PAGE]
        return written({"sandboxes": dict(_latest(asked))})

    def _latest(asked: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for word in filter(None, asked):
            try:
                sandbox_id = authentication.required(word)
                view = sandboxes.get(sandbox_id)
            except SandboxNotFound:
                continue
            samples = samples_of(sandbox_id)
            if samples:
                found.append((sandbox_id, _metric(samples[-1], view)))
        return found

    @routes.get("/sandboxes/<sandbox_id>/logs")
    def logs(sandbox_id: str) -> Response:
        entries = [_entry(event) for event in _events(sandbox_id)]
        lines = [{"timestamp": one["timestamp"], "line": one["message"]} for one in entries]
        return written({"logs": lines, "logEntries": entries})

    @routes.get("/v2/sandboxes/<sandbox_id>/logs")
    def logs_of_version_2(sandbox_id: str) -> Response:
        return written({"logs": [_entry(event) for event in _events(sandbox_id)]})

    def _events(sandbox_id: str) -> Sequence[EventLike]:
        limit = whole("limit", MOST_EVENTS, 0, MOST_EVENTS)
        return lifecycle.since(0, sandbox_id=sandbox_id, owner=None, limit=limit)

    return routes


def _metric(sample: Sample, view: SandboxView) -> dict[str, Any]:
    return {
        "timestamp": time_of(sample.at),
        "timestampUnix": int(sample.at),
        "cpuCount": max(1, math.ceil(view.cpus)),
        "cpuUsedPct": round(sample.cpu_percent / max(view.cpus, 0.01), 2),
        "memUsed": sample.memory,
        "memTotal": view.memory_mb * MIB,
        "memCache": sample.cache,
        "diskUsed": sample.disk,
        "diskTotal": sample.disk_size,
    }


def _entry(event: EventLike) -> dict[str, Any]:
    facts: Mapping[str, Any] = event.facts
    return {
        "timestamp": time_of(event.at),
        "message": event.event,
        "level": "info",
        "fields": {name: str(value) for name, value in facts.items()},
    }
