"""Numbers in a configuration: counts, sizes, shares and times, each read from what YAML, JSON or the environment give.

The readers are as those of `zotpy.config.values`.
"""

import os
import re
from collections.abc import Callable
from typing import cast

from zotpy.config.values import Reader, read_optional_text
from zotpy.core.units import size_text

_SIZES = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)", re.ASCII)
_DURATIONS = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ms|s|m|h|d) ?)+|\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(r"([\d.]+)(ms|s|m|h|d|)", re.ASCII)
_WINDOW = re.compile(r"(?P<begin>(?:[01]\d|2[0-3]):[0-5]\d) ?- ?(?P<end>(?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%", re.ASCII)
SHORTEST_SESSION_S = 60
LONGEST_SESSION_S = 365 * 24 * 3600
MOST_WORKERS = 64


def read_count(lowest: int, highest: int) -> Reader:
    """Make the reader of a whole number within bounds; zot writes some as strings."""

    def read(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,12}", text) or not lowest <= int(text) <= highest:
            msg = f"{value!r} is not a whole number from {lowest} to {highest}"
            raise ValueError(msg)
        return int(text)

    return read


def read_workers(value: object) -> int:
    """Read how many processes serve: 1 to 64, or `auto` or 0 for as many as there are CPUs for us."""
    if value == "auto" or (str(value) == "0" and not isinstance(value, bool)):
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cpus, MOST_WORKERS)
    try:
        return cast(int, read_count(1, MOST_WORKERS)(value))
    except ValueError as error:
        msg = f"{error}, nor auto"
        raise ValueError(msg) from error


def read_size(lowest_bytes: int, highest_bytes: int | None = None) -> Reader:
    """Make the reader of a number of bytes, such as `8MiB`, within bounds that are whole KiB."""

    def read(value: object) -> int:
        match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
        unit = None if match is None else _SIZES.get(match[2].upper())
        if match is None or unit is None:
            msg = f"{value!r} is not a size: write bytes, or a number with KiB, MiB or GiB, such as 8MiB"
            raise ValueError(msg)
        size = int(float(match[1]) * unit)
        if size < lowest_bytes:
            msg = f"{value} is too small: at least {size_text(lowest_bytes)}"
            raise ValueError(msg)
        if highest_bytes is not None and size > highest_bytes:
            msg = f"{value} is too large: at most {size_text(highest_bytes)}"
            raise ValueError(msg)
        return size

    return read


def read_share(value: object) -> float:
    """Read a percentage, such as `2%`; returns 0 to 1."""
    match = _SHARE.fullmatch(str(value).strip())
    if match is None or float(match[1]) > 100:  # noqa: PLR2004 - per cent
        msg = f"{value!r} is not a percentage: write one from 0% to 100%, such as 2%"
        raise ValueError(msg)
    return float(match[1]) / 100


def read_duration(value: object) -> float:
    """Read seconds, or a duration such as `10m30s`, longer than 0."""
    seconds = read_wait(value)
    if seconds <= 0:
        msg = f"{value} is too short: write more than 0s"
        raise ValueError(msg)
    return seconds


def read_wait(value: object) -> float:
    """Read a duration that may be 0."""
    text = str(value).strip()
    if isinstance(value, bool) or not _DURATIONS.fullmatch(text):
        msg = f"{value!r} is not a duration: write seconds, or numbers with h, m, s or ms, such as 10m30s"
        raise ValueError(msg)
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def read_between(shortest_s: float, longest_s: float) -> Callable[[object], float]:
    """Make the reader of a duration within bounds."""

    def read(value: object) -> float:
        seconds = read_wait(value)
        if not shortest_s <= seconds <= longest_s:
            msg = f"{value} is not from {duration_text(shortest_s)} to {duration_text(longest_s)}"
            raise ValueError(msg)
        return seconds

    return read


def duration_text(seconds: float) -> str:
    """Write a duration as `read_wait` reads it, in the largest unit that gives a whole number."""
    units = (("d", 86400), ("h", 3600), ("m", 60))
    found = (f"{seconds / unit:.0f}{name}" for name, unit in units if seconds and seconds % unit == 0)
    return next(found, f"{seconds:g}s")


_read_long = read_between(SHORTEST_SESSION_S, LONGEST_SESSION_S)


def read_session(value: object) -> float:
    """Read how long a login may last: 0, or a minute to a year."""
    return 0.0 if read_wait(value) == 0 else _read_long(value)


def read_window(value: object) -> tuple[int, int] | None:
    """Read a time of the day such as `22:00-04:00` as minutes from midnight, UTC. An empty one means none."""
    text = read_optional_text(value)
    if text is None:
        return None
    found = _WINDOW.fullmatch(text)
    if found is None or found["begin"] == found["end"]:
        msg = "write a time of the day in UTC such as 22:00-04:00"
        raise ValueError(msg)
    begin, end = (int(each[:2]) * 60 + int(each[3:]) for each in (found["begin"], found["end"]))
    return begin, end
