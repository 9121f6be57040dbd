"""`python -m bench.load.worker`: one process of the load generator, told what to do by lines of JSON on its input.

It answers each line with one, and says between how far a run is. It ends with its input, so with whoever started it.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from bench.clients.connection import Refused
from bench.clients.credentials import Credentials
from bench.clients.endpoint import Endpoint, endpoint_of, tls_context
from bench.load.clients import MOST_MESSAGES, Client
from bench.load.spec import Load, Target, load_from
from bench.load.verifying import Check, verify
from bench.load.workloads import WORKLOADS

PROGRESS_S = 0.5


@dataclass(frozen=True)
class Times:
    """When a run begins, what of it counts, and from when on nothing new is begun; of the monotonic clock."""

    begin: float
    count_from: float
    until: float


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

    def seed(self) -> dict[str, Any]:
        """Push what must be there before. Its clients are others than those of the run. Raises `Refused`."""
        client = Client(replace(self.load, link=None), self.endpoint, -1)
        self.workload.seed(client)
        client.close()
        if client.journal.errors:
            raise Refused(client.journal.errors[0])
        self._seeders.append(client)
        return {}

    def prepare(self) -> dict[str, Any]:
        """Make what is pushed later."""
        with ThreadPoolExecutor(max(1, len(self.clients))) as pool:
            for _ in pool.map(self.workload.prepare, self.clients):
                pass
        return {}

    def run(self, times: Times, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Do it, and return what came of it within the time that counts."""
        with ThreadPoolExecutor(max(1, len(self.clients))) as pool:
            running = [pool.submit(self._drive, client, times) for client in self.clients]
            before = self._moved_at(times.count_from, tell)
            after = self._moved_at(times.until, tell)
            wait(running)
        for future in running:
            future.result()
        for client in self.clients:
            client.close()
        return {"sent_bytes": after[0] - before[0], "received_bytes": after[1] - before[1], **self._journals(times)}

    def verify(self, check: Check) -> dict[str, Any]:
        """Look whether what was acknowledged is there, also what was pushed before the run: it is what is pulled."""
        return asdict(verify([*self._seeders, *self.clients], self.endpoint, check, self.load.seed))

    def _drive(self, client: Client, times: Times) -> None:
        place = client.index / max(1, self.load.clients)  # not all at once: their waves would last for the whole run
        time.sleep(max(0.0, times.begin + place * (times.count_from - times.begin) / 2 - time.monotonic()))
        while time.monotonic() < times.until:
            self.workload.step(client)

    def _moved_at(self, moment: float, tell: Callable[[dict[str, Any]], None]) -> tuple[int, int]:
        while (left_s := moment - time.monotonic()) > 0:
            time.sleep(min(left_s, PROGRESS_S))
            sent, received = self._moved()
            count = sum(len(client.journal.operations) for client in self.clients)
            errors = sum(client.journal.error_count for client in self.clients)
            tell({"progress": {"bytes": sent + received, "operations": count, "errors": errors}})
        return self._moved()

    def _moved(self) -> tuple[int, int]:
        traffics = [client.traffic for client in self.clients]
        return sum(one.sent_bytes for one in traffics), sum(one.received_bytes for one in traffics)

    def _journals(self, times: Times) -> dict[str, Any]:
        journals = [client.journal for client in self.clients]
        latencies: dict[str, list[float]] = {}
        for journal in journals:
            for kind, began, ended in journal.operations:
                if times.count_from <= ended < times.until:
                    latencies.setdefault(kind, []).append(round(1000 * (ended - began), 3))
        shared: dict[str, list[str]] = {}
        for journal in journals:
            for name, digests in journal.shared.items():
                shared.setdefault(name, []).extend(digests)
        return {
            "latencies_ms": latencies,
            "errors": [error for journal in journals for error in journal.errors][:MOST_MESSAGES],
            "error_count": sum(journal.error_count for journal in journals),
            "retries": sum(journal.retries for journal in journals),
            "acknowledged": sum(len(one.blobs) + len(one.images) for one in journals),
            "shared": shared,
        }


def reach(target: Target) -> Endpoint:
    """Return how to connect, credentials included. Raises `Refused`, `OSError` or `ValueError`."""
    context = tls_context(target.ca_file, verify=target.verify_tls) if target.url.startswith("https:") else None
    connect = partial(endpoint_of, tls=context)
    credentials = Credentials(connect, target.url, target.user, target.password)
    return endpoint_of(target.url, context, credentials.authorize)


def main(lines: Sequence[str] | None = None) -> None:
    """Do what the lines of the input say until they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started us; it ends our input
    crew: Crew | None = None
    for line in lines or sys.stdin:
        order = json.loads(line)
        try:
            if order["do"] == "load":
                crew = Crew(load_from(order["load"]))
                answer: dict[str, Any] = {}
            else:
                assert crew is not None, "a load comes first"
                answer = _obey(crew, order)
        except (Refused, OSError, ValueError) as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        _tell({"done": order["do"], **answer})


def _obey(crew: Crew, order: dict[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "seed":
            return crew.seed()
        case "prepare":
            return crew.prepare()
        case "run":
            return crew.run(Times(**order["times"]), _tell)
        case "verify":
            return crew.verify(Check(**order["check"]))
        case unknown:
            msg = f"no such order: {unknown}"
            raise ValueError(msg)


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
