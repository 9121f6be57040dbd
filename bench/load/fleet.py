"""The load generator as seen from the program that measures: some processes, given one load together."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.load.clients import MOST_MESSAGES
from bench.load.spec import Load
from bench.load.verifying import Check, Findings
from bench.load.worker import Times
from bench.measures import ProcessTree

CHECKOUT = Path(__file__).parents[2]
ANSWER_DEADLINE_S = 600.0
LEAD_S = 0.2
"""From the order to begin until the beginning, so that all processes have it by then."""


class LoadFailed(Exception):
    """The load generator could not do what it was told; the message says why."""


@dataclass
class Outcome:
    """What all processes together did within the time that counts."""

    duration_s: float
    sent_bytes: int = 0
    received_bytes: int = 0
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    retries: int = 0
    acknowledged: int = 0
    shared: dict[str, list[str]] = field(default_factory=dict)


class Worker:
    """One process."""

    def __init__(self, log: Path) -> None:
        """Start it; what it says beside its answers goes to the log."""
        command = [sys.executable, "-m", "bench.load.worker"]
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=CHECKOUT
            )
        self.tree = ProcessTree(self._child.pid)
        self.progress: dict[str, int] = {}
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._log = log
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def order(self, what: str, **details: Any) -> None:
        """Tell it what to do."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # its answer says so
            self._child.stdin.write(json.dumps({"do": what, **details}) + "\n")
            self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return what came of the last order. Raises `LoadFailed`."""
        try:
            found = self._answers.get(timeout=ANSWER_DEADLINE_S)
        except queue.Empty:
            found = {"failed": f"no answer for {ANSWER_DEADLINE_S:.0f} s"}
        if "failed" in found:
            raise LoadFailed(found["failed"])
        return found

    def close(self) -> None:
        """End it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.kill()
        self._child.wait()
        self._listener.join()
        self._child.stdout.close()
        with suppress(BrokenPipeError):
            self._child.stdin.close()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            message = json.loads(line)
            if "progress" in message:
                self.progress = message["progress"]
            else:
                self._answers.put(message)
        self._answers.put({"failed": f"a process of the generator ended: {self._log.read_text()[-2000:]}"})


class Fleet:
    """All processes of the generator."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        """Give them one load with `load` before anything else."""
        self._workers = workers
        self.trees = {f"generator{index}": worker.tree for index, worker in enumerate(workers)}

    def load(self, load: Load) -> None:
        """Make everything ready for a run: content in the registry, digests in memory. Raises `LoadFailed`."""
        count = len(self._workers)
        for index, worker in enumerate(self._workers):
            worker.order("load", load=replace(load, worker=index, workers=count).as_json())
        self._answers()
        self._workers[0].order("seed")
        self._workers[0].answer()
        for worker in self._workers:
            worker.progress = {}
            worker.order("prepare")
        self._answers()

    def begin(self, warm_up_s: float, duration_s: float) -> Times:
        """Let it begin, and return when what happens. The outcome is fetched by `outcome`."""
        now = time.monotonic() + LEAD_S
        times = Times(now, now + warm_up_s, now + warm_up_s + duration_s)
        for worker in self._workers:
            worker.order("run", times=asdict(times))
        return times

    def progress(self) -> dict[str, int]:
        """Return how far the run is: bytes, operations, errors."""
        names = ("bytes", "operations", "errors")
        return {name: sum(worker.progress.get(name, 0) for worker in self._workers) for name in names}

    def outcome(self, times: Times) -> Outcome:
        """Wait for what was begun to end, and return what came of it. Raises `LoadFailed`."""
        outcome = Outcome(times.until - times.count_from)
        for found in self._answers():
            for name in ("sent_bytes", "received_bytes", "error_count", "retries", "acknowledged"):
                setattr(outcome, name, getattr(outcome, name) + found[name])
            for kind, values in found["latencies_ms"].items():
                outcome.latencies_ms.setdefault(kind, []).extend(values)
            for name, digests in found["shared"].items():
                outcome.shared.setdefault(name, []).extend(digests)
            outcome.errors = [*outcome.errors, *found["errors"]][:MOST_MESSAGES]
        return outcome

    def verify(self, check: Check) -> Findings:
        """Let each process check what it had acknowledged. Raises `LoadFailed`."""
        for worker in self._workers:
            worker.order("verify", check=asdict(check))
        findings = Findings()
        for found in self._answers():
            findings.checked += found["checked"]
            findings.read_bytes += found["read_bytes"]
            findings.lost_count += found["lost_count"]
            findings.lost = [*findings.lost, *found["lost"]][:MOST_MESSAGES]
        return findings

    def _answers(self) -> list[dict[str, Any]]:
        """Return all answers, also where one failed, so that none is left for the next order."""
        answers: list[dict[str, Any]] = []
        failures: list[LoadFailed] = []
        for worker in self._workers:
            try:
                answers.append(worker.answer())
            except LoadFailed as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return answers


@contextmanager
def fleet(processes: int, directory: Path) -> Iterator[Fleet]:
    """Run a generator of so many processes."""
    workers: list[Worker] = []
    try:
        workers.extend(Worker(directory / f"generator{index}.log") for index in range(processes))
        yield Fleet(workers)
    finally:
        for worker in workers:
            worker.close()
