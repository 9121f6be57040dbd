"""Structured logs: one event a line, as JSON or for a terminal. The logs of libraries go the same way.

Tracebacks are plain on purpose: the renderers that show local variables would show keys and bodies.
"""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

_THRESHOLDS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_ZOT_NAMES = {"warning": "warn", "critical": "fatal"}
_STREAMS = {"stdout": lambda: sys.stdout, "stderr": lambda: sys.stderr}
_shown_from = logging.NOTSET
"""The least level of which lines appear."""
_files: list[TextIO] = []
"""The log's file, and the one before."""
_json: tuple[Processor, structlog.WriteLogger] | None = None
"""What makes lines of JSON, and what writes them; `None`: the lines have another form."""
at_every_level = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET))
"""A logger whose lines appear whatever `log.level` says: for what an operator must see once."""


def configure_logs(level: str = "info", form: str = "auto", output: str = "stderr") -> None:
    """Send events of `level` (zot's names) and above to `output` as `form`; see `LogSettings`.

    Raises `OSError` if a file cannot be opened, and then changes nothing. Called again, it opens the file again. The
    one before stays open until the next time, for tasks that are writing a line.
    """
    global _shown_from, _json  # noqa: PLW0603 - structlog keeps the rest of it in a global as well
    stream: TextIO = _STREAMS[output]() if output in _STREAMS else open(output, "a", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _name_level_as_zot,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last, lines = _renderers(stream, form), cast("TextIO", _Lines(stream))
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_THRESHOLDS[level]),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=False,
    )
    _shown_from = _THRESHOLDS[level]
    is_json = isinstance(last[-1], structlog.processors.JSONRenderer)
    _json = (last[-1], structlog.WriteLogger(lines)) if is_json else None
    _route_standard_logging(lines, _THRESHOLDS[level], shared, last)
    if output not in _STREAMS:
        _files.append(stream)
    while len(_files) > 2:  # noqa: PLR2004 - this one and the one before
        with suppress(OSError):  # the disk was full, and still is
            _files.pop(0).close()


class _Lines:
    """A stream of lines. One that cannot be written is lost: no request fails because a disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def shows(level: Literal["debug", "info"]) -> bool:
    """Say whether a line of this level appears: to ask costs less than to make one that does not."""
    return _THRESHOLDS[level] >= _shown_from


def say(level: Literal["debug", "info"], event: str, fields: EventDict) -> None:
    """Write what a logger of structlog would write of an event without an exception, at half of the cost.

    It is for events as frequent as requests. The level must be one that `shows` says yes to.
    """
    if _json is None or structlog.get_config()["processors"][-1] is not _json[0]:  # a terminal, or a test that looks
        getattr(structlog.get_logger(), level)(event, **fields)
        return
    line = {**fields, "event": event, **structlog.contextvars.get_contextvars(), "level": level}
    line["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    _json[1].msg(_encoder(repr).encode(line))


def _renderers(stream: TextIO, form: str) -> list[Processor]:
    """Return what turns an event into a line. `auto` checks whether the output is a terminal."""
    if form == "json" or (form == "auto" and not stream.isatty()):
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_encode)]
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]


def _encode(event: EventDict, default: Callable[[Any], Any]) -> str:
    return _encoder(default).encode(event)


@cache
def _encoder(default: Callable[[Any], Any]) -> json.JSONEncoder:
    """Return what `json.dumps` would make for each line."""
    return json.JSONEncoder(default=default)


def _route_standard_logging(stream: TextIO, threshold: int, shared: list[Processor], last: list[Processor]) -> None:
    """Give the logs of libraries the same form. They are one level quieter than ours."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.INFO if threshold == logging.DEBUG else logging.WARNING))
    logging.captureWarnings(capture=True)


def _name_level_as_zot(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event["level"] = _ZOT_NAMES.get(event["level"], event["level"])
    return event
