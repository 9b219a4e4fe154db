"""What `/metrics` says."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway_process import GatewayProcess


class Scrape:
    """What one answer of `/metrics` says."""

    def __init__(self, gateway: GatewayProcess) -> None:
        answer = gateway.get("/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        self._samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """0 for what was never counted."""
        return self._samples.get((f"sandbox_gateway_{name}", tuple(sorted(labels.items()))), 0)

    def of(self, name: str) -> dict[object, float]:
        """All samples of this name, by their labels."""
        return {
            labels: value
            for (sample, labels), value in self._samples.items()
            if sample == f"sandbox_gateway_{name}"
        }

    @property
    def counters(self) -> dict[object, float]:
        """All that may never fall."""
        endings = ("_total", "_bucket", "_count", "_sum")
        return {key: value for key, value in self._samples.items() if key[0].endswith(endings)}
