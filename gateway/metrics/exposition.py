"""The numbers of all workers, and of the store, as the text that Prometheus reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.errors import GatewayError
from gateway.metrics.metric_types import PREFIX
from gateway.metrics.multiprocess_slots import MultiprocessSlot

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Census(Protocol):
    """What there is now, over all workers. Each may raise a GatewayError."""

    def sandboxes_by_state(self) -> Mapping[str, int]:
        """Those that have not ended. States with none are better there, with 0."""

    def pool_ready(self) -> Mapping[tuple[str, str], int]:
        """Sandboxes that wait in the warm pool, by image and isolation."""

    def queue_length(self) -> int:
        """Creates that wait for room."""


class Exposition:
    """Answers scrapes in any worker. Reads a few files and the store: about a millisecond."""

    def __init__(self, slot: MultiprocessSlot, census: Census, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (_Version(version), _Now(census), _Counted(slot)):
            self._registry.register(collector)

    def text(self) -> bytes:
        """In the format of `CONTENT_TYPE`. What the census cannot say is left out."""
        return generate_latest(self._registry)


class _Version:
    def __init__(self, version: str) -> None:
        self._version = version

    def collect(self) -> Iterable[Metric]:
        text = "Version of the gateway that answers."
        return [InfoMetricFamily(f"{PREFIX}build", text, value={"version": self._version})]


class _Counted:
    def __init__(self, slot: MultiprocessSlot) -> None:
        self._slot = slot

    def collect(self) -> Iterable[Metric]:
        merged: Iterable[Metric] = MultiProcessCollector.merge(self._slot.files())
        return sorted(merged, key=lambda metric: metric.name)


class _Now:
    def __init__(self, census: Census) -> None:
        self._census = census

    def collect(self) -> Iterable[Metric]:
        try:
            # Prometheus stores gaps as such; a made-up number would be believed.
            return [self._sandboxes(), self._pool(), self._queue()]
        except GatewayError as error:
            log.warning("a scrape goes without the census: %s", error)
            return []

    def _sandboxes(self) -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}sandboxes", "Sandboxes that have not ended, by state.", labels=["state"]
        )
        for state, number in self._census.sandboxes_by_state().items():
            family.add_metric([state], number)
        return family

    def _pool(self) -> Metric:
        family = GaugeMetricFamily(
            f"{PREFIX}pool_ready",
            "Sandboxes that wait in the warm pool.",
            labels=["image", "isolation"],
        )
        for (image, isolation), number in self._census.pool_ready().items():
            family.add_metric([image, isolation], number)
        return family

    def _queue(self) -> Metric:
        length = self._census.queue_length()
        return GaugeMetricFamily(f"{PREFIX}queue_length", "Creates that wait for room.", length)
