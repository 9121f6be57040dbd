"""What is counted in plain numbers is shown as if prometheus_client had counted it, whenever it is asked."""

from itertools import product

import trio
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from zotpy.telemetry.metrics import Metrics
from zotpy.telemetry.tallies import SECONDS, Sum, Tally

DURATIONS = (0.0, 0.001, 0.0010001, 0.25, 1, 1799.0, 1800, 1801, 1e9)
"""On the bounds of buckets, beside them, and beyond the last."""


def pair(registry: CollectorRegistry) -> tuple[Counter, Histogram]:
    """Return a counter and a histogram of calls."""
    return Counter("calls", "Calls.", registry=registry), Histogram("s", "Seconds.", buckets=SECONDS, registry=registry)


def lines(registry: CollectorRegistry) -> list[bytes]:
    """Return what is shown, without the times at which series were made."""
    return [line for line in generate_latest(registry).splitlines() if b"_created" not in line]


def test_a_tally_shows_what_an_observation_shows() -> None:
    """The text is the same, whichever bucket a duration falls into."""
    directly, tallied = CollectorRegistry(), CollectorRegistry()
    calls, seconds = pair(directly)
    tally = Tally(*pair(tallied))
    for duration in DURATIONS:
        calls.inc()
        seconds.observe(duration)
        tally.note(duration)
    tally.show()
    assert lines(tallied) == lines(directly)
    tally.show()
    assert lines(tallied) == lines(directly)


def test_what_is_counted_while_it_is_shown_is_shown_later() -> None:
    """Another thread may count between any two steps of showing: nothing is lost, and nothing counts twice."""
    registry = CollectorRegistry()
    calls, seconds = pair(registry)
    tally, total = Tally(calls, seconds), Sum(calls)
    count_directly = calls.inc

    def count_more(amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        del exemplar
        tally.note(0.5)
        total.total += 100
        count_directly(amount)

    calls.inc = count_more  # type: ignore[method-assign]
    for each, _ in product((tally.show, total.show), range(3)):
        tally.note(0.5)
        total.total += 100
        each()
    calls.inc = count_directly  # type: ignore[method-assign]
    tally.show()
    total.show()
    assert b"s_count 12.0" in lines(registry)
    assert b"calls_total 1212.0" in lines(registry)


async def test_a_worker_publishes_while_it_runs_and_at_its_end() -> None:
    """Other workers read what was published last, so a count must not wait for somebody to ask this worker."""
    metrics = Metrics()
    metrics.store.on_call("get", "key", 0.5, "ok")
    assert shown(metrics) == {"ok": 0}
    await metrics.publish_last()
    assert shown(metrics) == {"ok": 1}
    metrics.store.on_call("get", "key", 0.5, "ok")
    metrics._is_shared = True
    with trio.move_on_after(0):
        await metrics.keep_published()
    assert shown(metrics) == {"ok": 2}


def shown(metrics: Metrics) -> dict[str, float]:
    """Return how many calls prometheus_client's values show, by how they ended."""
    samples = [sample for family in metrics.store.calls.collect() for sample in family.samples]
    return {sample.labels["outcome"]: sample.value for sample in samples if sample.name == "zotpy_store_calls_total"}
