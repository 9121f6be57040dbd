"""Two replicas that answer from memory: what one of them deletes, the other one does not find after the DELETE."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.blackbox.cluster import Replica
from tests.blackbox.registry_api import http_client, push_blob
from tests.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.servers import Bucket

HITS = re.compile(r"^zotpy_store_reads_promised_total ([0-9.]+)$", re.MULTILINE)


def hits(client: httpx.Client) -> float:
    """Return how many reads a replica has answered from memory."""
    found = HITS.search(client.get("/metrics").text)
    assert found is not None
    return float(found[1])


def test_what_one_replica_deletes_the_other_does_not_find(
    bucket: Bucket, prefix: str, tmp_path: Path, repository: str
) -> None:
    """From the answer of the DELETE on, although it answered from memory until then."""
    replicas = [Replica(number, bucket, prefix, tmp_path) for number in range(2)]
    try:
        for replica in replicas:
            replica.configure({"storage": {"promisedLife": "1s"}, "extensions": {"metrics": {"enable": True}}})
            replica.start()
        with http_client(replicas[0].url) as first, http_client(replicas[1].url) as second:
            for number in range(3):
                path = f"/v2/{repository}/blobs/{push_blob(first, repository, bytes([number]) * 100)}"
                before = hits(second)

                def is_remembered(path: str = path, before: float = before) -> bool:
                    assert second.head(path).status_code == 200
                    return hits(second) > before

                wait_until(is_remembered, "the replica answers from memory")
                assert first.delete(path).status_code == 202
                assert second.head(path).status_code == 404
                assert second.get(path).status_code == 404
    finally:
        for replica in replicas:
            replica.process.kill()
