"""Prometheus metrics of this process. Labels are names from the map or the registry of operations, never user data."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters and gauges, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter("meridian_requests_total", "Requests answered", ["operation", "status"], registry=r)
        self.seconds = Histogram(
            "meridian_request_seconds", "Time to answer", ["operation"], buckets=_BUCKETS, registry=r
        )
        self.routed = Counter(
            "meridian_routed_total",
            "Requests by shard, node role and deciding signal",
            ["shard", "role", "by"],
            registry=r,
        )
        self.errors = Counter("meridian_errors_total", "Problems answered, by code", ["code"], registry=r)
        self.refused = Counter("meridian_rate_limited_total", "Requests refused, by policy", ["policy"], registry=r)
        self.events = Counter("meridian_events_total", "Changes of state inside, by name", ["event"], registry=r)
        self.jobs = Counter("meridian_jobs_done_total", "Things done by background jobs", ["job", "shard"], registry=r)
        self.jobs_failed = Counter(
            "meridian_jobs_failed_total", "Rounds of background jobs that failed", ["job", "shard"], registry=r
        )
        self.edges_told = Counter(
            "meridian_edge_purges_total", "Changes told to an edge, by outcome", ["outcome"], registry=r
        )
        self.edges_waiting = Gauge(
            "meridian_edge_purges_waiting", "Changes that an edge was not told yet", ["edge"], registry=r
        )
        self.in_flight = Gauge("meridian_requests_in_flight", "Requests being answered", registry=r)
        self.pool = Gauge(
            "meridian_pool_connections", "Connections of a node's pool", ["shard", "node", "kind"], registry=r
        )
        self.lag = Gauge("meridian_replica_lag_ms", "Lag of a replica", ["shard", "node"], registry=r)
        self.breaker = Gauge("meridian_breaker_open", "1 while a breaker is not closed", ["scope", "part"], registry=r)
        self.spooled = Gauge("meridian_spooled_files", "Files that wait for their store", ["region"], registry=r)
        self.status = Gauge("meridian_status", "1 for the present status", ["scope", "status"], registry=r)

    def text(self) -> bytes:
        """The exposition format, for the admin port."""
        return generate_latest(self.registry)
