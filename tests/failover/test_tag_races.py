"""Tags are set at once through the balancer while replicas die: none that was acknowledged is lost or goes back."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import TYPE_CHECKING

import httpx

from tests.blackbox.images import IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST, as_json
from tests.blackbox.registry_api import DEADLINE_S, http_client, push_blob, tags

if TYPE_CHECKING:
    from tests.failover.farm import Farm

REPOSITORY = "races/app"
RACERS = 8
PUSHES = 10
"""Of each racer in each round; a replica dies in the middle of a round."""
MOST_TRIES = 5
"""Of one request, as clients have it; only what was under way at the replica that dies takes more than one."""


class Race:
    """Racers that tag manifests, and what was acknowledged to them."""

    def __init__(self, farm: Farm) -> None:
        """Push the blobs that all manifests name."""
        self.url = farm.edge.url
        self.acknowledged: dict[str, bytes] = {}
        """The manifest of each tag that only one racer sets: the one acknowledged last."""
        self.contested: set[bytes] = set()
        """All that were acknowledged under the tag that every racer sets."""
        self.repeated: Counter[str] = Counter()
        """Why requests were sent again."""
        self._pushes = 0
        self._changed = Condition()
        config, layer = b"{}", b"the layer of all these images"
        with http_client(self.url) as client:
            config_digest, layer_digest = (push_blob(client, REPOSITORY, content) for content in (config, layer))
        self._manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": {"mediaType": IMAGE_CONFIG, "digest": config_digest, "size": len(config)},
            "layers": [{"mediaType": IMAGE_LAYER, "digest": layer_digest, "size": len(layer)}],
        }

    def run(self, racer: int, lap: int) -> None:
        """Give each new manifest a tag of its own, then move a tag of this racer to it, then the one of all."""
        with http_client(self.url) as client:
            for number in range(PUSHES):
                name = f"racer{racer}-{lap}-{number}"
                manifest = as_json({**self._manifest, "annotations": {"name": name}})
                for tag in (name, f"racer{racer}", "contested"):
                    self._set(client, tag, manifest)

    def wait_for(self, pushes: int) -> None:
        """Wait until this many requests were acknowledged in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._pushes >= pushes, DEADLINE_S), "nothing is acknowledged"

    def _set(self, client: httpx.Client, tag: str, manifest: bytes) -> None:
        """Set a tag, and repeat it if the answer is missing or not the registry's."""
        for _ in range(MOST_TRIES):
            try:
                answer = client.put(
                    f"/v2/{REPOSITORY}/manifests/{tag}", content=manifest, headers={"Content-Type": IMAGE_MANIFEST}
                )
            except httpx.TransportError as error:
                self._count(type(error).__name__)
                continue
            if answer.status_code == httpx.codes.CREATED:
                self._acknowledge(tag, manifest)
                return
            assert answer.status_code == httpx.codes.BAD_GATEWAY, answer.text
            self._count("502")
        msg = f"{tag} was not acknowledged after {MOST_TRIES} tries"
        raise AssertionError(msg)

    def _acknowledge(self, tag: str, manifest: bytes) -> None:
        with self._changed:
            if tag == "contested":
                self.contested.add(manifest)
            else:
                self.acknowledged[tag] = manifest
            self._pushes += 1
            self._changed.notify_all()

    def _count(self, why: str) -> None:
        with self._changed:
            self.repeated[why] += 1


def test_no_acknowledged_tag_is_lost(farm: Farm) -> None:
    """Each acknowledged tag is at every replica what it was set to last, whichever replica died in between."""
    race = Race(farm)
    in_a_round = RACERS * PUSHES * 3
    with ThreadPoolExecutor(RACERS) as pool:
        for lap, replica in enumerate(farm.replicas):
            racing = [pool.submit(race.run, racer, lap) for racer in range(RACERS)]
            race.wait_for(in_a_round * lap + in_a_round // 3)
            replica.process.kill()
            for future in racing:
                future.result()
            farm.revive()
    assert len(race.acknowledged) == RACERS * (PUSHES * len(farm.replicas) + 1)
    assert race.repeated.total() <= RACERS * len(farm.replicas)

    winners = set()
    for number, replica in enumerate(farm.replicas):
        with http_client(replica.url) as client:
            assert set(tags(client, REPOSITORY)) == {*race.acknowledged, "contested"}
            asked = [tag for index, tag in enumerate(race.acknowledged) if index % len(farm.replicas) == number]
            asked += [f"racer{racer}" for racer in range(RACERS)]
            served = {tag: client.get(f"/v2/{REPOSITORY}/manifests/{tag}").content for tag in asked}
            assert served == {tag: race.acknowledged[tag] for tag in asked}
            winners.add(client.get(f"/v2/{REPOSITORY}/manifests/contested").content)
    assert len(winners) == 1
    assert winners <= race.contested
