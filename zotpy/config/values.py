"""Words in a configuration: texts, paths and choices, each read from what YAML, JSON or the environment give.

A reader returns the value or raises `ValueError` with what to write instead. It never repeats a text that may be a
secret. `zotpy.config.quantities` has those of numbers.
"""

import re
from collections.abc import Callable
from pathlib import Path

_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]{1,255})+", re.ASCII)
_TAKEN = frozenset({"/livez", "/readyz", "/startupz"})
Reader = Callable[[object], object]


def read_text(value: object) -> str:
    """Read a string that is not empty."""
    if isinstance(value, str) and value:
        return value
    msg = "write a text" if isinstance(value, str) else "write a text, in quotes"
    raise ValueError(msg)


def read_optional_text(value: object) -> str | None:
    """Read a string. An empty one means none."""
    return None if value == "" else read_text(value)


def read_any_text(value: object) -> str:
    """Read a string that may be empty."""
    return "" if value == "" else read_text(value)


def read_path(value: object) -> Path:
    """Read the path of a file or directory; `~` is the home directory."""
    return Path(read_text(value)).expanduser()


def read_file(value: object) -> Path:
    """Read the path of a file that exists."""
    path = read_path(value)
    if not path.is_file():
        msg = f"{path} is a directory: name a file" if path.is_dir() else f"the file {path} does not exist"
        raise ValueError(msg)
    return path


def read_optional_file(value: object) -> Path | None:
    """Read the path of a file that exists. An empty one means none."""
    return None if value == "" else read_file(value)


def read_prefix(value: object) -> str:
    """Read the prefix of every key. Slashes at its ends mean nothing."""
    return "" if value == "" else read_text(value).strip("/")


def read_flag(value: object) -> bool:
    """Read true or false."""
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    msg = f"{value!r} is neither true nor false"
    raise ValueError(msg)


def read_realm(value: object) -> str:
    """Read what clients are told that they log in to: printable ASCII, as it is part of a header."""
    text = read_text(value)
    if not (text.isascii() and text.isprintable()):
        msg = "write printable letters of ASCII"
        raise ValueError(msg)
    return text


def read_choice(*choices: str, **others: str) -> Reader:
    """Make the reader of one of a few words. `others` are further words with their meanings."""

    def read(value: object) -> str:
        word = value.lower() if isinstance(value, str) else ""
        if word in choices:
            return word
        if word in others:
            return others[word]
        msg = f"write {', '.join(choices[:-1])}{' or ' if choices[1:] else ''}{choices[-1]}, not {value!r}"
        raise ValueError(msg)

    return read


def read_metrics_path(value: object) -> str:
    """Read the path of `/metrics`: absolute, with nothing to resolve in it, and not taken by another endpoint."""
    text = read_text(value)
    segments = text.split("/")
    if not _PATH.fullmatch(text) or not {".", ".."}.isdisjoint(segments) or segments[1] == "v2" or text in _TAKEN:
        msg = f"{text!r} cannot be the path of the metrics: write one such as /metrics, not below /v2 nor a probe's"
        raise ValueError(msg)
    return text


def read_log_output(value: object) -> str:
    """Read where the log goes: a standard stream, by its word or device, or the path of a file."""
    text = read_optional_text(value) or "stderr"
    return {"/dev/stdout": "stdout", "/dev/stderr": "stderr"}.get(text, text)


def read_audit_output(value: object) -> str | None:
    """Read where the audit log goes. An empty text means nowhere."""
    return None if value == "" else read_log_output(value)
