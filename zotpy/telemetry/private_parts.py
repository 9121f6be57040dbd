"""What zotpy relies on in prometheus_client beyond its documented interface; see `zotpy.libraries`.

Each worker of a port keeps its numbers under an index of its own, which takes the place of prometheus_client's class of
values (`zotpy.telemetry.sharing`). If that class were no longer asked, each worker would show its own numbers only.
What is counted often is added to a histogram many at a time (`zotpy.telemetry.tallies`).
"""

from zotpy.libraries import Library, Part

PROMETHEUS_CLIENT = Library(
    "prometheus-client",
    "0.26",
    (
        Part("prometheus_client.values.MultiProcessValue", "process_identifier"),
        Part("prometheus_client.values.ValueClass"),
        Part("prometheus_client.metrics.values"),
        Part("prometheus_client.metrics.Counter._metric_init", "self", uses="values ValueClass"),
        Part("prometheus_client.metrics.Gauge._metric_init", "self", uses="values ValueClass"),
        Part("prometheus_client.metrics.Histogram._metric_init", "self", uses="values ValueClass"),
        Part("prometheus_client.metrics.Histogram.observe", "self amount exemplar", uses="_sum _buckets inc"),
        Part("prometheus_client.multiprocess.MultiProcessCollector.__init__", "self registry path"),
        Part("prometheus_client.multiprocess.mark_process_dead", "pid path"),
    ),
)
