"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """The figures of one server, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter("upres_requests", "Answers, by route.", ["route", "method", "status"], registry=own)
        self.request_seconds = Histogram(
            "upres_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=own
        )
        self.accepted = Counter("upres_jobs_accepted", "Jobs that got a place in the queue.", registry=own)
        self.ended = Counter("upres_jobs_ended", "Jobs by their last state.", ["state"], registry=own)
        self.refused = Counter("upres_jobs_refused", "Jobs that got no place, by reason.", ["reason"], registry=own)
        self.queue_seconds = Histogram(
            "upres_queue_seconds", "Time from arrival to work.", ["model"], buckets=_SECONDS, registry=own
        )
        self.run_seconds = Histogram(
            "upres_run_seconds", "Time of work on a picture.", ["model"], buckets=_SECONDS, registry=own
        )
        self.pixels = Counter("upres_output_pixels", "Pixels of all results.", registry=own)
        self.workers_started = Counter("upres_workers_started", "Worker processes started.", registry=own)
        self.worker_deaths = Counter("upres_worker_deaths", "Workers that ended during a job.", registry=own)
        self._queued = Gauge("upres_queue_length", "Jobs that wait.", registry=own)
        self._running = Gauge("upres_jobs_running", "Jobs that run.", registry=own)
        self._listeners = Gauge("upres_event_streams", "Open streams of events.", registry=own)

    def watch(self, queued: Callable[[], int], running: Callable[[], int], listeners: Callable[[], int]) -> None:
        """Where the present figures come from."""
        self._queued.set_function(lambda: float(queued()))
        self._running.set_function(lambda: float(running()))
        self._listeners.set_function(lambda: float(listeners()))

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
