"""`python -m bench.load.worker`: one process of the load generator, told what to do by orders on its input, pickled.

It answers each order, and says between how far a run is. It ends with its input, so with the program that started it.
"""

import pickle
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial

from bench.clients.connection import Refused
from bench.clients.credentials import Credentials
from bench.clients.endpoint import Endpoint, endpoint_of, tls_context
from bench.load.clients import Client
from bench.load.spec import MOST_MESSAGES, Load, LoadFailed, Outcome, SoFar, Target, Times
from bench.load.verifying import Check, Findings, verify
from bench.load.workloads import WORKLOADS

PROGRESS_S = 0.5


class Crew:
    """The clients of one process, for one load."""

    def __init__(self, load: Load) -> None:
        """Find out how to reach the registry. Raises `Refused` or `OSError`."""
        self.load = load
        self.workload = WORKLOADS[load.workload]
        self.endpoint = reach(load.target)
        indexes = range(load.worker, load.clients, load.workers)
        self.clients = [Client(load, self.endpoint, index) for index in indexes]
        self._seeders: list[Client] = []

    def seed(self) -> None:
        """Push what must be there before. Its clients are others than those of the run. Raises `Refused`."""
        client = Client(replace(self.load, link=None), self.endpoint, -1)
        self.workload.seed(client)
        client.close()
        if client.journal.errors:
            raise Refused(client.journal.errors[0])
        self._seeders.append(client)

    def prepare(self) -> None:
        """Make what is pushed later."""
        with ThreadPoolExecutor(max(1, len(self.clients))) as pool:
            for _ in pool.map(self.workload.prepare, self.clients):
                pass

    def run(self, times: Times) -> Outcome:
        """Do it, and return what came of it within the time that counts."""
        with ThreadPoolExecutor(max(1, len(self.clients))) as pool:
            drive = self._drive_once if self.workload.once else self._drive
            running = [pool.submit(drive, client, times) for client in self.clients]
            before = self._moved_at(times.count_from)
            after = self._moved() if self.workload.once else self._moved_at(times.until)
            wait(running)
        if self.workload.once:
            after, times = self._moved(), replace(times, until=time.monotonic())
        for future in running:
            future.result()
        for client in self.clients:
            client.close()
        outcome = Outcome(times.until - times.count_from, after[0] - before[0], after[1] - before[1])
        self._note_journals(outcome, times)
        return outcome

    def verify(self, check: Check) -> Findings:
        """Look whether what was acknowledged is there, also what was pushed before the run: it is what is pulled."""
        return verify([*self._seeders, *self.clients], self.endpoint, check, self.load.seed)

    def _drive(self, client: Client, times: Times) -> None:
        place = client.index / max(1, self.load.clients)  # not all at once: their waves would last for the whole run
        time.sleep(max(0.0, times.begin + place * (times.count_from - times.begin) / 2 - time.monotonic()))
        while time.monotonic() < times.until:
            self.workload.step(client)

    def _drive_once(self, client: Client, times: Times) -> None:
        time.sleep(max(0.0, times.begin - time.monotonic()))
        self.workload.step(client)

    def _moved_at(self, moment: float) -> tuple[int, int]:
        while (left_s := moment - time.monotonic()) > 0:
            time.sleep(min(left_s, PROGRESS_S))
            sent, received = self._moved()
            count = sum(len(client.journal.operations) for client in self.clients)
            errors = sum(client.journal.error_count for client in self.clients)
            _tell(SoFar(bytes=sent + received, operations=count, errors=errors))
        return self._moved()

    def _moved(self) -> tuple[int, int]:
        traffics = [client.traffic for client in self.clients]
        return sum(one.sent_bytes for one in traffics), sum(one.received_bytes for one in traffics)

    def _note_journals(self, outcome: Outcome, times: Times) -> None:
        for journal in (client.journal for client in self.clients):
            for kind, began, ended in journal.operations:
                if times.count_from <= ended < times.until:
                    outcome.latencies_ms.setdefault(kind, []).append(round(1000 * (ended - began), 3))
            for name, digests in journal.shared.items():
                outcome.shared.setdefault(name, []).extend(digests)
            outcome.errors = [*outcome.errors, *journal.errors][:MOST_MESSAGES]
            outcome.error_count += journal.error_count
            outcome.retries += journal.retries
            outcome.acknowledged += len(journal.blobs) + len(journal.images)


def reach(target: Target) -> Endpoint:
    """Return how to connect, credentials included. Raises `Refused`, `OSError` or `ValueError`."""
    context = tls_context(target.ca_file, verify=target.verify_tls) if target.url.startswith("https:") else None
    connect = partial(endpoint_of, tls=context)
    credentials = Credentials(connect, target.url, target.user, target.password)
    return endpoint_of(target.url, context, credentials.authorize)


def main() -> None:
    """Do what the orders of the input say until they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started us; it ends our input
    crew: Crew | None = None
    answer: object = None
    with suppress(EOFError):
        while True:
            what, *details = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the program that started us
            try:
                if what == "load":
                    crew, answer = Crew(*details), None
                else:
                    answer = getattr(crew, what)(*details)
            except (Refused, OSError, ValueError) as error:
                answer = LoadFailed(f"{type(error).__name__}: {error}")
            _tell(answer)


def _tell(message: object) -> None:
    pickle.dump(message, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
