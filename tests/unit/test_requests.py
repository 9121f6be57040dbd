"""What the log says of requests."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from zotpy.http.server.proxies import Reached
from zotpy.http.server.sending import Answered
from zotpy.server import PROBES, report
from zotpy.telemetry.metrics import Metrics
from zotpy.web.app import ROUTES


def level_of(route: str, status: int) -> str:
    """Return the level at which such a request is logged."""
    with capture_logs() as logs:
        report(Metrics(), Answered("GET", route, route, Reached(), started=1.0, status=status), 2.0)
    [logged] = logs
    assert (logged["event"], logged["path"], logged["status"], logged["seconds"]) == ("request", route, status, 1.0)
    return str(logged["log_level"])


def test_probes_are_routes() -> None:
    """Each probe that is kept out of the log is asked by that name."""
    assert {route.rule for route in ROUTES} >= PROBES


@pytest.mark.parametrize(
    ("route", "status", "level"),
    [
        ("/v2/", 200, "info"),
        ("/v2/", 404, "info"),
        ("/readyz", 200, "debug"),
        ("/metrics", 200, "debug"),
        ("/readyz", 503, "info"),
        ("/readyz", 0, "info"),
    ],
)
def test_only_probes_that_succeed_are_kept_out_of_the_log(route: str, status: int, level: str) -> None:
    """A kubelet or balancer asks every two seconds: its lines would bury those of clients, and only failures matter."""
    assert level_of(route, status) == level


def test_the_log_names_the_user_and_the_metrics_only_the_login() -> None:
    """Users are without number, kinds of logins are few. If nobody asks for logins, neither says anything."""
    metrics = Metrics()
    callers = [("alice", "htpasswd"), ("bob", "htpasswd"), ("", "anonymous"), ("", "")]
    with capture_logs() as logs:
        for user, login in callers:
            report(metrics, Answered("GET", "/v2/", "/v2/", Reached(), started=1.0, user=user, login=login), 2.0)
    assert [(line.get("user"), line.get("login")) for line in logs] == [*callers[:3], (None, None)]
    shown = metrics.render().decode()
    assert 'zotpy_http_requests_by_login_total{login="htpasswd"} 2.0' in shown
    assert 'zotpy_http_requests_by_login_total{login="anonymous"} 1.0' in shown
    assert "alice" not in shown
