"""What makes a byte cache ready before it is measured."""

import re
from collections import Counter

from bench.clients.blobs import OK
from bench.clients.connection import Connection
from bench.load.clients import Client
from bench.load.steps import pull, seed_storm

MOST_PULLS = 8
"""If the image does not come from the cache after so many pulls, it never will."""
_READS = re.compile(r'^zotpy_cache_reads_total\{.*outcome="(\w+)".*\} (\S+)$', re.MULTILINE)


def seed_kept(client: Client) -> None:
    """Push the image that all pull, and pull it until all of it comes from the cache.

    The first pulls fill the cache. The next one has each layer compared with its digest, and gets the last bytes of a
    layer behind that. So nothing of this is left to do once a pull has found all layers in the cache. A registry
    without a cache counts no reads of one: it is pulled from once.
    """
    seed_storm(client)
    for _ in range(MOST_PULLS):
        before = cache_reads(client)
        pull(client)
        if not (cache_reads(client) - before).keys() - {"hit"}:
            return
    client.journal.fail(f"after {MOST_PULLS} pulls the layers do not come from the cache")


def cache_reads(client: Client) -> Counter[str]:
    """Return how many reads of its cache a replica has counted, by their outcome; none if it has no such series."""
    found: Counter[str] = Counter()

    def ask(connection: Connection) -> None:
        answer = connection.call("GET", "/metrics")
        if answer.status == OK:
            found.update({outcome: int(float(value)) for outcome, value in _READS.findall(answer.body.decode())})

    client.perform("metrics", ask)
    return found
