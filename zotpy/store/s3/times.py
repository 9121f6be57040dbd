"""The store's clock, as its answers tell it."""

from datetime import datetime

from zotpy.s3.client import Answer
from zotpy.s3.wire.responses import parse_time


def store_time_of(answer: Answer) -> datetime:
    """Read the store's clock. No other clock may take its place, so zotpy cannot use a store without one."""
    return parse_time(answer.headers.get("date", ""))
