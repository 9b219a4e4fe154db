"""What a container uses, from the engine's statistics (Engine API, "ContainerStats")."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.engine.interface import ContainerUsage

if TYPE_CHECKING:
    import docker

APART_S = 0.2
"""Between the two looks that tell the use of CPU. The engine's own way takes two seconds."""


def usage_of(api: docker.APIClient, container_id: str) -> ContainerUsage:
    """Look twice, `APART_S` apart. Raises what the SDK does."""
    before, started = _cpu_s(_look(api, container_id)), time.monotonic()
    time.sleep(APART_S)
    found = _look(api, container_id)
    passed_s = time.monotonic() - started
    cpu_s = _cpu_s(found)
    networks = (found.get("networks") or {}).values()
    return ContainerUsage(
        cpu_s=cpu_s,
        cpu_percent=max(0.0, 100 * (cpu_s - before) / passed_s),
        memory_bytes=_memory(found.get("memory_stats") or {}),
        pids=int((found.get("pids_stats") or {}).get("current") or 0),
        disk_bytes=_written(api, container_id),
        received_bytes=sum(int(network["rx_bytes"]) for network in networks),
        sent_bytes=sum(int(network["tx_bytes"]) for network in networks),
    )


def _look(api: docker.APIClient, container_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.stats(container_id, stream=False, one_shot=True)
    return found


def _cpu_s(found: dict[str, Any]) -> float:
    return int(found["cpu_stats"]["cpu_usage"].get("total_usage") or 0) / 1e9


def _memory(found: dict[str, Any]) -> int:
    """Without the page cache that can be dropped at any time, as `docker stats` counts."""
    stats = found.get("stats") or {}
    inactive = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return max(0, int(found.get("usage") or 0) - int(inactive))


def _written(api: docker.APIClient, container_id: str) -> int | None:
    found = api.containers(all=True, size=True, filters={"id": container_id})
    return int(found[0].get("SizeRw") or 0) if found else None
