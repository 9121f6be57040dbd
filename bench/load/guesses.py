"""Clients that guess passwords: so many wrong ones a second, while others push.

    python -m bench.load.guesses http://127.0.0.1:5000 --per-s 200

It says in a line when it begins. It ends when its input does, and then says how often each status was the answer.
"""

import argparse
import base64
import itertools
import json
import sys
import threading
import time
from collections import Counter

from bench.clients.connection import Connection, Refused
from bench.clients.endpoint import Endpoint, endpoint_of, tls_context
from bench.servers.access import USER

CONNECTIONS = 32
"""How many connections guess at the same time. A guesser does not wait for one answer before it guesses again."""


class Guesser:
    """Guesses until `stop` is called."""

    def __init__(self, endpoint: Endpoint, per_s: float, after_s: float = 0.0) -> None:
        """Guess nothing yet, and not for `after_s`."""
        self.statuses: Counter[str] = Counter()
        self._endpoint = endpoint
        self._interval_s = 1 / per_s
        self._turns = itertools.count()
        self._began = time.monotonic() + after_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._guess) for _ in range(CONNECTIONS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, once each has its answer."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _guess(self) -> None:
        connection: Connection | None = None
        while True:
            turn = next(self._turns)  # a guess that comes late is not left out
            if self._over.wait(max(0.0, self._began + turn * self._interval_s - time.monotonic())):
                return
            password = base64.b64encode(f"{USER}:guess-{turn}".encode()).decode()
            try:
                connection = connection or Connection(self._endpoint)
                answer = connection.call("GET", "/v2/", {"Authorization": f"Basic {password}"})
                self.statuses[str(answer.status)] += 1
            except (OSError, Refused) as error:
                self.statuses[type(error).__name__] += 1
                if connection is not None:
                    connection.close()
                connection = None


def main() -> None:
    """Guess while the input lasts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--per-s", type=float, required=True)
    parser.add_argument("--after-s", type=float, default=0.0)
    parser.add_argument("--ca-file")
    options = parser.parse_args()
    context = tls_context(options.ca_file) if options.url.startswith("https:") else None
    guesser = Guesser(endpoint_of(options.url, context), options.per_s, options.after_s)
    guesser.start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.read()
    guesser.stop()
    sys.stdout.write(f"{json.dumps(guesser.statuses)}\n")


if __name__ == "__main__":
    main()
