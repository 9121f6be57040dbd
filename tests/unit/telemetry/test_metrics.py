"""What `/metrics` says of one process, and of several workers on one port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.telemetry.metrics import Metrics
from zotpy.telemetry.sharing import VARIABLE, abandon, forget_gauges, metrics_directory, share_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zotpy.memory.accounts import Account

ANSWERED = {"method": "GET", "route": "/v2/", "status": "200"}


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the directory of several workers, which all are this process here."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv(VARIABLE, "")
    with metrics_directory() as path:
        yield path


def worker(directory: Path, index: int) -> tuple[Metrics, Account]:
    """Start what one worker shows, and open an account of its memory."""
    share_metrics(directory, index)
    return watched(Metrics(is_shared=True))


def watched(metrics: Metrics) -> tuple[Metrics, Account]:
    """Watch a budget of 100 bytes."""
    budget = MemoryBudget(100, 10)
    metrics.gauges.watch_budget(budget, Readers(budget, 1))
    return metrics, budget.account()


def samples(metrics: Metrics) -> dict[str, float]:
    """Return what is shown: counts of one kind of request, and gauges."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels in ({}, ANSWERED, {"method": "GET", "route": "/v2/"})
    }


def ask(metrics: Metrics, count: int) -> None:
    """Count requests, of five bytes each."""
    for _ in range(count):
        metrics.requests.on_request("GET", "/v2/", 200, 0.5, 0, 5)


async def test_one_process_shows_itself() -> None:
    """Without workers nothing is shared, and gauges are read when they are asked for."""
    metrics, account = watched(Metrics())
    ask(metrics, 2)
    await account.acquire(30)
    shown = samples(metrics)
    assert shown["zotpy_http_requests_total"] == 2
    assert (shown["zotpy_memory_budget_bytes"], shown["zotpy_memory_budget_used_bytes"]) == (100, 30)


def test_methods_that_no_endpoint_takes_are_one_series() -> None:
    """Any token is a method: the number and the length of the series are bounded, whatever clients send."""
    metrics = Metrics()
    for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"):
        metrics.requests.on_request(method, "/v2/", 200, 0.5, 0, 5)
    before = len(metrics.render())
    for number in range(2000):
        metrics.requests.on_request(f"M{number}" + "x" * number, "none", 405, 0.5, 0, 5)
    metrics.requests.on_request("get", "none", 405, 0.5, 0, 5)
    families = text_string_to_metric_families(metrics.render().decode())
    counted = {
        sample.labels["method"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "zotpy_http_requests_total"
    }
    assert counted == dict.fromkeys(("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"), 1.0) | {"other": 2001}
    assert len(metrics.render()) < 2 * before


async def test_pulls_that_wait_are_shown(nursery: trio.Nursery) -> None:
    """A pull that finds neither memory nor a place is shown until it goes on."""
    metrics, budget = Metrics(), MemoryBudget(100, 10)
    readers = Readers(budget, 1)
    metrics.gauges.watch_budget(budget, readers)
    for _ in range(2):
        nursery.start_soon(readers.begin, readers.account(), 1000)
    await trio.testing.wait_all_tasks_blocked()
    assert samples(metrics)["zotpy_pulls_waiting"] == 1
    readers.leave_place()
    assert samples(metrics)["zotpy_pulls_waiting"] == 0


async def test_workers_are_added_up(directory: Path) -> None:
    """Whichever worker is asked, counters, histograms and gauges are those of all."""
    first, account = worker(directory, 1)
    ask(first, 2)
    await account.acquire(30)
    first.publish()
    second, _ = worker(directory, 2)
    ask(second, 3)
    second.publish()
    for metrics in (first, second):
        shown = samples(metrics)
        assert shown["zotpy_http_requests_total"] == 5
        assert shown["zotpy_http_sent_bytes_total"] == 25
        assert shown["zotpy_http_request_duration_seconds_count"] == 5
        assert (shown["zotpy_memory_budget_bytes"], shown["zotpy_memory_budget_used_bytes"]) == (200, 30)


async def test_a_dead_worker_holds_nothing_but_has_counted(directory: Path) -> None:
    """Counters never go back when a worker dies, and its gauges disappear."""
    first, account = worker(directory, 1)
    second, _ = worker(directory, 2)
    ask(first, 2)
    await account.acquire(30)
    first.publish()
    forget_gauges(directory, 1)
    shown = samples(second)
    assert shown["zotpy_http_requests_total"] == 2
    assert (shown["zotpy_memory_budget_bytes"], shown["zotpy_memory_budget_used_bytes"]) == (100, 0)


def test_a_worker_started_again_counts_on(directory: Path) -> None:
    """The next process of the same index goes on where the last one ended, in the same files."""
    first, _ = worker(directory, 1)
    ask(first, 2)
    first.publish()
    forget_gauges(directory, 1)
    files = sorted(file.name for file in directory.iterdir())
    again, _ = worker(directory, 1)
    ask(again, 1)
    assert samples(again)["zotpy_http_requests_total"] == 3
    forget_gauges(directory, 1)
    assert sorted(file.name for file in directory.iterdir()) == files


def test_the_last_abandoned_worker_removes_the_directory(directory: Path) -> None:
    """Without a supervisor each worker takes its own files away, and the last one the directory."""
    for index in (1, 12, 2):
        ask(worker(directory, index)[0], 1)
    abandon(directory, 2)
    assert {file.stem.rpartition("_")[2] for file in directory.iterdir()} == {"1", "12"}
    abandon(directory, 1)
    assert directory.exists()
    abandon(directory, 12)
    assert not directory.exists()
