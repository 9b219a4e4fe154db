"""What the gateway counts, in Prometheus' form: the only import of prometheus_client.

Every worker keeps numbers of its own; whichever is asked adds up those of all
(`multiprocess_slots` says how).
"""

from gateway.metrics.exposition import CONTENT_TYPE, Census, Exposition
from gateway.metrics.metric_list import Kind, Metrics, Outcome

__all__ = ["CONTENT_TYPE", "Census", "Exposition", "Kind", "Metrics", "Outcome"]
