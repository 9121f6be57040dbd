"""The kinds of values in a configuration, each read from what YAML, JSON or the environment give."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
Reader = Callable[[object], object]


def read_text(value: object) -> str:
    """Read a string."""
    if isinstance(value, str):
        return value
    msg = "write a string"
    raise ValueError(msg)


def read_optional_text(value: object) -> str | None:
    """Read a string; an empty one is as good as none."""
    return read_text(value) or None


def read_path(value: object) -> Path:
    """Read the path of a file or directory; `~` is the home directory."""
    return Path(read_text(value)).expanduser()


def read_flag(value: object) -> bool:
    """Read true or false."""
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    msg = "write true or false"
    raise ValueError(msg)


def read_count(lowest: int, highest: int) -> Reader:
    """Make the reader of a whole number within bounds; zot writes some as strings."""

    def read(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,12}", text) or not lowest <= int(text) <= highest:
            msg = f"write a whole number from {lowest} to {highest}"
            raise ValueError(msg)
        return int(text)

    return read


def read_size(lowest_bytes: int) -> Reader:
    """Make the reader of a number of bytes, such as `8MiB`."""

    def read(value: object) -> int:
        match = _SIZE.fullmatch(str(value).strip())
        unit = None if match is None else _UNITS.get(match[2].upper())
        if match is None or unit is None or isinstance(value, bool):
            msg = "write a size such as 8MiB"
            raise ValueError(msg)
        size = int(float(match[1]) * unit)
        if size < lowest_bytes:
            msg = f"write at least {lowest_bytes // 2**20}MiB"
            raise ValueError(msg)
        return size

    return read


def read_duration(value: object) -> float:
    """Read seconds, or a duration such as `10m30s`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    text = str(value).replace(" ", "")
    if text and not _DURATION.sub("", text):
        return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    msg = "write a duration such as 24h or 10m30s"
    raise ValueError(msg)


def read_choice(*choices: str) -> Reader:
    """Make the reader of one of a few words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value.lower() in choices:
            return value.lower()
        msg = f"write one of {', '.join(choices)}"
        raise ValueError(msg)

    return read


def read_networks(value: object) -> tuple[str, ...]:
    """Read a list of networks, such as `10.0.0.0/8`; the environment gives them with commas."""
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list):
        msg = "write a list of networks such as 10.0.0.0/8"
        raise ValueError(msg)  # noqa: TRY004 - every reader raises ValueError
    return tuple(str(ipaddress.ip_network(str(item).strip(), strict=False)) for item in listed)
