"""A meter of what tasks compute before others get a turn. It counts, so neither the machine nor its load matter.

It counts the bytecodes that the interpreter executes in each step of a task of trio, and adds what C functions do with
long values: JSON, SHA-256, expressions in CEL, patterns. Each counts as the nanoseconds that it takes on a machine
whose SHA-256 takes 0.7 s per GiB, or more (docs/performance.md). What runs in threads is not counted, because the event
loop goes on meanwhile. JSON there counts: no other thread goes on during one call of its parser. The client and the
store in memory are left out: they would be other processes.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import trio

from zotpy import concurrency
from zotpy.cel.expressions import Allowance
from zotpy.store import faulty, memory_store

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    import pytest

    from zotpy.settings import AccessSettings

MOST_MS = 50.0
"""How long one request may hold the event loop."""
BYTECODE_NS = 20
JSON_BYTE_NS, JSON_VALUE_NS = 2, 300
HASHED_BYTE_NS = 1
COST_NS = 15
"""One of the units of `zotpy.cel.cost`."""
MATCH_NS = 80
"""A character of a name that is compared with a pattern of many stars."""
ELSEWHERE = (memory_store.__file__, faulty.__file__, __file__)


@dataclass(eq=False)
class Meter(trio.abc.Instrument):
    """Counts what each step of the tasks takes."""

    client: trio.lowlevel.Task
    """Is not counted."""
    longest_ns: float = 0.0
    where: list[tuple[str, int]] = field(default_factory=list)
    """What executed most of the bytecodes of the longest step."""
    _added_ns: float = 0.0
    """What was no bytecode."""
    _began_ns: float = 0.0
    _counters: dict[int, tuple[Callable[..., None], CodeType, list[int]]] = field(default_factory=dict)
    """Of this step: what counts the bytecodes of a code object, and how many it has counted, by the object's `id`: its
    hash takes longer than most bytecodes."""
    _loop: int = field(default_factory=threading.get_ident)

    def __post_init__(self) -> None:
        """Make what counts: closures, one for each code object, because they are called at each bytecode.

        Whatever they would look up there took as long as all the rest of a test.
        """
        executed = 0

        def counter_of(code: CodeType) -> tuple[Callable[..., None], CodeType, list[int]]:
            of_code = [0]

            def count(_frame: FrameType, event: str, _: object) -> None:
                nonlocal executed
                if event == "opcode":
                    executed += 1
                    of_code[0] += 1

            return count, code, of_code

        def count_all() -> int:
            return executed

        self._counter_of, self._count_all = counter_of, count_all

    @property
    def total_ns(self) -> float:
        """What all steps so far have taken."""
        return self._added_ns + BYTECODE_NS * self._count_all()

    @property
    def longest_ms(self) -> float:
        """How long the longest step takes."""
        return self.longest_ns / 1e6

    def clock(self) -> float:
        """Return the seconds that the work so far takes, in place of a clock."""
        return self.total_ns / 1e9

    def add(self, taken_ns: float) -> None:
        """Count work that is no bytecode, if it is done in a step that counts."""
        if threading.get_ident() != self._loop:
            self._compare(taken_ns, [("a thread", 1)])
        elif sys.gettrace() is not None:
            self._added_ns += taken_ns

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Begin to count."""
        if task is not self.client:
            self._began_ns = self.total_ns
            self._counters.clear()
            sys.settrace(self._enter)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """End, and remember the longest step."""
        sys.settrace(None)
        if task is not self.client:
            self._compare(self.total_ns - self._began_ns)

    def _compare(self, step_ns: float, where: list[tuple[str, int]] | None = None) -> None:
        if step_ns > self.longest_ns:
            self.longest_ns = step_ns
            counts = [(code.co_qualname, of_code[0]) for _, code, of_code in self._counters.values()]
            self.where = where or sorted(counts, key=itemgetter(1), reverse=True)[:6]

    def _enter(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        del event, argument
        if frame.f_code.co_filename in ELSEWHERE:
            return None
        code = frame.f_code
        if (counter := self._counters.get(id(code))) is None:
            counter = self._counters[id(code)] = self._counter_of(code)
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return counter[0]


@contextmanager
def metering(patch: pytest.MonkeyPatch) -> Iterator[Meter]:
    """Count until the block ends, all but the current task. What takes turns by a clock takes them by the meter."""
    meter = Meter(trio.lowlevel.current_task())
    with patch.context() as during:
        _count_long_values(during, meter)
        during.setattr(concurrency, "clock", meter.clock)
        trio.lowlevel.add_instrument(meter)
        try:
            yield meter
        finally:
            trio.lowlevel.remove_instrument(meter)
            sys.settrace(None)


@dataclass(frozen=True)
class _Counted:
    """A pattern whose comparisons count."""

    pattern: re.Pattern[str]
    meter: Meter

    def match(self, name: str) -> re.Match[str] | None:
        self.meter.add(MATCH_NS * len(name))
        return self.pattern.match(name)


def counted(access: AccessSettings, meter: Meter) -> AccessSettings:
    """Return rules that count the comparisons of their patterns."""
    names = [cast("re.Pattern[str]", _Counted(rule.names, meter)) for rule in access.rules]
    return replace(
        access, rules=tuple(replace(rule, names=each) for rule, each in zip(access.rules, names, strict=True))
    )


def _count_long_values(patch: pytest.MonkeyPatch, meter: Meter) -> None:
    decode, encode, spend, sha256 = json.JSONDecoder.decode, json.JSONEncoder.encode, Allowance.spend, hashlib.sha256

    def count(text: str) -> None:
        meter.add(JSON_BYTE_NS * len(text) + JSON_VALUE_NS * text.count(","))

    def decoded(self: json.JSONDecoder, text: str, *arguments: Any) -> Any:
        count(text)
        return decode(self, text, *arguments)

    def encoded(self: json.JSONEncoder, value: object) -> str:
        count(text := encode(self, value))
        return text

    def spent(self: Allowance, cost: float) -> None:
        spend(self, cost)
        meter.add(COST_NS * cost)

    def hashed(data: bytes = b"", **how: bool) -> Any:
        meter.add(HASHED_BYTE_NS * len(data))
        return sha256(data, **how)

    patch.setattr(json.JSONDecoder, "decode", decoded)
    patch.setattr(json.JSONEncoder, "encode", encoded)
    patch.setattr(Allowance, "spend", spent)
    patch.setattr(hashlib, "sha256", hashed)
