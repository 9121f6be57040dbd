"""What supervisor and worker say to each other."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from zotpy.config import S3Settings, Settings, StorageSettings
from zotpy.workers.link import Order, Report

SETTINGS = Settings(storage=StorageSettings(s3=S3Settings("b", access_key="a", secret_key="hush")))


def test_an_order_arrives_whole() -> None:
    """All settings, secrets too, reach the worker over the link, so that none is on a command line."""
    order = Order(2, SETTINGS, 7, Path("/tmp/x"))  # noqa: S108 - nothing is there
    assert Order.decode(BytesIO(order.encode())) == order
    with pytest.raises(EOFError):
        Order.decode(BytesIO())


@pytest.mark.parametrize("report", [Report(("http://[::1]:5000",)), Report(failure="the bucket\n'ö' is gone")])
def test_a_report_is_one_line(report: Report) -> None:
    """A report comes back as it was, whatever signs are in it."""
    line = report.encode()
    assert line.count(b"\n") == 1
    assert Report.decode(line) == report


def test_a_report_cut_short_says_nothing() -> None:
    """A worker that dies in the middle of its report has neither failed in words nor listened."""
    assert Report.decode(Report(("http://[::1]:5000",)).encode()[:-1]) == Report()
    assert Report.decode(b"") == Report()
