"""Replicas are restarted one after another, as an update does it: no client sees anything of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.failover.held import HeldChunk
from tests.failover.load import Load, working

if TYPE_CHECKING:
    import random

    from tests.blackbox.clients import Client
    from tests.failover.farm import Farm


def test_no_request_fails(
    farm: Farm, load: Load, source: random.Random, crane: Client, skopeo: Client, oras: Client, regctl: Client
) -> None:
    """Each replica leaves only once the balancer took it out and its last upload has ended: nothing is even retried."""
    pushes = {
        "crane": lambda layout, reference: crane("push", "--insecure", layout, reference),
        "skopeo": lambda layout, reference: skopeo(
            "copy", "--dest-tls-verify=false", f"oci:{layout}:image", f"docker://{reference}"
        ),
    }
    pulls = {
        "crane-pull": lambda reference, target: crane("pull", "--insecure", "--format=oci", reference, target),
        "oras-pull": lambda reference, target: oras(
            "cp", "--from-plain-http", reference, "--to-oci-layout", f"{target}:image"
        ),
        "regctl-pull": lambda reference, target: regctl("image", "copy", reference, f"ocidir://{target}:image"),
    }
    since = farm.edge.process.log_size()
    with working(load, pushes, pulls):
        for replica in farm.replicas:
            load.wait_for_more(1)
            held = HeldChunk.at(replica.name, farm, "held", source)
            farm.restart(replica, when_out=held.finish)
    assert load.pulls
    load.read_back()

    passed = farm.edge.passed(since)
    assert {one.server for one in passed} == {replica.name for replica in farm.replicas}
    assert [one for one in passed if one.failed or one.retries] == []
