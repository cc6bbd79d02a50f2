"""Numbers of a server, for Prometheus."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows a folder where several processes count together."""
TYPE = CONTENT_TYPE_LATEST


class Meters:
    """Counts requests, batches and what waits; one for each process."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self._requests = Counter(
            "lasar_requests", "Requests by path and status.", ["path", "status"], registry=own
        )
        self._seconds = Histogram(
            "lasar_request_seconds", "From request to answer.", ["path"], buckets=SECONDS, registry=own
        )
        self._sizes = Histogram("lasar_batch_histories", "Histories of a batch.", buckets=SIZES, registry=own)
        self._batches = Histogram("lasar_batch_seconds", "Time of a batch.", buckets=SECONDS, registry=own)
        self._waiting = Gauge(
            "lasar_queue_histories", "Histories that wait.", multiprocess_mode="livesum", registry=own
        )
        self._gone = Counter("lasar_clients_gone", "Clients that left before their answer.", registry=own)
        self._items = Gauge(
            "lasar_items", "Items that may be listed.", multiprocess_mode="mostrecent", registry=own
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, histories: int, seconds: float) -> None:
        """A batch was answered."""
        self._sizes.observe(histories)
        self._batches.observe(seconds)

    def waiting(self, histories: int) -> None:
        """So many wait now."""
        self._waiting.set(histories)

    def gone(self) -> None:
        """A client left."""
        self._gone.inc()

    def items(self, count: int) -> None:
        """So many items may be listed."""
        self._items.set(count)

    def text(self) -> bytes:
        """All numbers, of all processes where they count together."""
        if SHARED in os.environ:
            every = CollectorRegistry()
            multiprocess.MultiProcessCollector(every)
            return generate_latest(every)
        return generate_latest(self.registry)
