"""The load generator as seen from the program that measures: some processes, given one load together."""

import math
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.load.spec import MOST_MESSAGES, Load, LoadFailed, Outcome, SoFar, Times
from bench.load.verifying import Check, Findings
from bench.measures import ProcessTree
from bench.servers.processes import CHECKOUT

ANSWER_DEADLINE_S = 600.0
LEAD_S = 0.2
"""How long before the beginning the order to begin is sent, so that all processes have it in time."""


class Worker:
    """One process."""

    def __init__(self, log: Path) -> None:
        """Start it; what it says beside its answers goes to the log."""
        command = [sys.executable, "-m", "bench.load.worker"]
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=CHECKOUT
            )
        self.tree = ProcessTree(self._child.pid)
        self.progress = SoFar()
        self._answers: queue.Queue[object] = queue.Queue()
        self._log = log
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def order(self, what: str, *details: object) -> None:
        """Tell it what to do."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # its answer says so
            pickle.dump((what, *details), self._child.stdin)
            self._child.stdin.flush()

    def answer(self) -> Any:
        """Return what came of the last order. Raises `LoadFailed`."""
        try:
            found = self._answers.get(timeout=ANSWER_DEADLINE_S)
        except queue.Empty:
            found = LoadFailed(f"no answer for {ANSWER_DEADLINE_S:.0f} s")
        if isinstance(found, LoadFailed):
            raise found
        return found

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._listener.join()
        with suppress(BrokenPipeError), self._child:  # closes its pipes and waits for it
            pass

    def _listen(self) -> None:
        assert self._child.stdout is not None
        with suppress(EOFError, pickle.UnpicklingError):  # it ended, maybe in the middle of an answer
            while True:
                message = pickle.load(self._child.stdout)  # noqa: S301 - of our own process
                if isinstance(message, Counter):
                    self.progress = message
                else:
                    self._answers.put(message)
        self._answers.put(LoadFailed(f"a process of the generator ended: {self._log.read_text()[-2000:]}"))


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
            worker.order("load", replace(load, worker=index, workers=count))
        self._answers()
        self._workers[0].order("seed")
        self._workers[0].answer()
        for worker in self._workers:
            worker.progress = SoFar()
            worker.order("prepare")
        self._answers()

    def begin(self, warm_up_s: float, duration_s: float) -> Times:
        """Let it begin, and return when what happens. The outcome is fetched by `outcome`."""
        now = time.monotonic() + LEAD_S
        return self._begin(Times(now, now + warm_up_s, now + warm_up_s + duration_s))

    def begin_once(self) -> Times:
        """Let each client do one thing, all at the same moment, which is returned as `begin` and `count_from`."""
        now = time.monotonic() + LEAD_S
        return self._begin(Times(now, now, math.inf))

    def _begin(self, times: Times) -> Times:
        for worker in self._workers:
            worker.order("run", times)
        return times

    def progress(self) -> SoFar:
        """Return how far the run is."""
        return sum((worker.progress for worker in self._workers), SoFar())

    def outcome(self) -> Outcome:
        """Wait for what was begun to end, and return what came of it. Raises `LoadFailed`."""
        answers: list[Outcome] = self._answers()
        outcome = Outcome(max(found.duration_s for found in answers))
        for found in answers:
            outcome.add(found)
        return outcome

    def verify(self, check: Check) -> Findings:
        """Let each process check what it had acknowledged. Raises `LoadFailed`."""
        for worker in self._workers:
            worker.order("verify", check)
        findings = Findings()
        for found in self._answers():
            findings.checked += found.checked
            findings.read_bytes += found.read_bytes
            findings.lost_count += found.lost_count
            findings.lost = [*findings.lost, *found.lost][:MOST_MESSAGES]
        return findings

    def _answers(self) -> list[Any]:
        """Return all answers, also where one failed, so that none is left for the next order."""
        answers: list[Any] = []
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
