"""Alert rules and the dashboard ask for nothing that a replica does not tell: every series, label and value exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.blackbox.balancer import answers
from tests.blackbox.registry_api import http_client, push_blob
from tests.deploy.bare import NO_NOTICE
from tests.processes import Process, free_port
from zotpy.http.server.cuts import Cut
from zotpy.mirror import events
from zotpy.store.interface import Store
from zotpy.store.observed import OUTCOMES
from zotpy.telemetry.metrics import Metrics
from zotpy.telemetry.series import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
BY_PROMETHEUS = {"job", "instance", "le"}
"""Labels that a scrape adds to each series, or that stand at the buckets of a histogram."""
ADDED_BY_PROMETHEUS = {"up"}
OUTCOMES_OF_MIRROR = {*get_args(events.Asked), *get_args(events.Copied), *get_args(events.Answered)}
OF_GRAFANA = {"$__rate_interval": "5m", "$job": "zotpy", "$__all": ".*"}
VALUES = {
    "outcome": {"ok", "cancelled", "failed", *OUTCOMES.values(), *OUTCOMES_OF_MIRROR},
    "operation": {name for name in vars(Store) if not name.startswith("_")} | {"read"},
    "reason": {str(cut) for cut in Cut},
    "method": {*METHODS, "other"},
}
"""Labels whose values are few and known."""


@dataclass(frozen=True)
class Asked:
    """One expression, and where it stands."""

    where: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    groups = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard, without its rows."""
    listed = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return [panel for panel in listed if panel["type"] != "row"]


def all_asked() -> Iterator[Asked]:
    """Yield every expression of both."""
    for rule in rules():
        yield Asked(rule["alert"], rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in OF_GRAFANA.items():
                expression = expression.replace(variable, value)
            yield Asked(panel["title"], expression)


ASKED = list(all_asked())


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Yield what an expression selects, at whatever depth."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    if isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    for name in ("expr", "lhs", "rhs", "param"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def labels_of_series() -> dict[str, set[str]]:
    """Return the labels of every metric of requests and calls, by its name without a suffix."""
    metrics = Metrics()
    groups = (metrics.requests, metrics.store, metrics.cache, metrics.mirror)
    series = [metric for group in groups for metric in vars(group).values() if hasattr(metric, "_labelnames")]
    return {metric._name: set(metric._labelnames) for metric in series}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return all that a replica with a store of its own tells, and a collection: names of series, with their labels."""
    directory = tmp_path_factory.mktemp("monitoring")
    port = free_port()
    zotpy = [sys.executable, "-m", "zotpy"]
    root = ["--root", str(directory / "root")]
    serve = ["env", NO_NOTICE, *zotpy, "serve", "--port", str(port), *root]
    replica = Process("zotpy", serve, directory / "zotpy.log")
    try:
        replica.start(lambda: answers(f"http://127.0.0.1:{port}"))
        with http_client(f"http://127.0.0.1:{port}") as client:
            push_blob(client, "a", b"x" * 100_000)
            told = client.get("/metrics").text
        file = directory / "zotpy_gc.prom"
        subprocess.run([*zotpy, "gc", *root, "--metrics-file", str(file)], check=True, capture_output=True)
    finally:
        replica.stop()
    known = labels_of_series()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(told + file.read_text()):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        labels = set(known.get(family.name, set()))
        for sample in family.samples:
            labels.update(sample.labels)
        if family.name == "zotpy_build_info":
            labels = {"version", "commit"}
        if not family.name.endswith("_created"):  # when each counter began: nobody draws that
            found |= {f"{family.name}{suffix}": labels for suffix in suffixes}
    return found


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.where)
def test_every_expression_asks_for_series_that_exist(asked: Asked, series: dict[str, set[str]]) -> None:
    """Names, labels, and values where they are few; Prometheus's grammar holds."""
    parsed = promql_parser.parse(asked.expression)
    selected = list(selectors(parsed))
    assert selected
    labels: set[str] = set()
    for selector in selected:
        assert selector.name in series or selector.name in ADDED_BY_PROMETHEUS
        own = series.get(selector.name, set()) | BY_PROMETHEUS
        labels |= own
        for matcher in selector.matchers.matchers:
            assert matcher.name in own, f"{selector.name} has no label {matcher.name}"
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name]
    for grouped in re.findall(r"\bby \(([^)]*)\)", asked.expression):
        assert set(re.split(r",\s*", grouped)) <= labels


def test_every_series_of_a_replica_is_shown_somewhere(series: dict[str, set[str]]) -> None:
    """Neither rules nor panels leave out what there is to see, but counts of histograms."""
    asked = {selector.name for one in ASKED for selector in selectors(promql_parser.parse(one.expression))}
    left = {name for name in series if not name.startswith("zotpy_gc_") and not name.endswith(("_count", "_sum"))}
    assert left - asked == set()


def test_legends_and_texts_name_labels_that_are_there() -> None:
    """What stands in braces is a label that the expression leaves."""
    for panel in panels():
        for target in panel["targets"]:
            expression, legend = target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = [set(re.split(r",\s*", names)) for names in re.findall(r"\bby \(([^)]*)\)", expression)]
            left = grouped[0] - {"le"} if grouped else set() if "sum(" in expression else BY_PROMETHEUS
            assert legend <= left, panel["title"]
    for rule in rules():
        texts = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", texts):
            kept = re.search(r"\bby \(([^)]*)\)", rule["expr"])
            assert label in (re.split(r",\s*", kept[1]) if kept else BY_PROMETHEUS), rule["alert"]


def test_rules_are_whole() -> None:
    """Each says how bad it is, in one line what happened, and in another what to do; the page has each by its name."""
    page = (FOLDER.parents[1] / "docs/alerts.md").read_text()
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    assert re.findall(r"^\| `(Zotpy\w+)`", page, re.MULTILINE) == names
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == rule["annotations"].keys()
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_panels_lie_beside_each_other() -> None:
    """No panel covers another, each has an id of its own, says what it shows, and asks the chosen data source."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "job"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    places = [
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    for panel in panels():
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
