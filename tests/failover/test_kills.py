"""Replicas are killed one after another under pushes and pulls of real clients: nothing acknowledged is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.failover.held import HeldChunk
from tests.failover.load import Load, Repeating, working

if TYPE_CHECKING:
    import random

    from tests.blackbox.clients import Client
    from tests.failover.farm import Farm

PUSHES_BETWEEN = 1
UPLOAD = r'\\?"\S+/blobs/uploads/\S+"'
CUT = r"(EOF|.*\b(read|write)\b)"


def test_clients_outlive_replicas(
    farm: Farm, load: Load, source: random.Random, crane: Client, skopeo: Client, oras: Client, regctl: Client
) -> None:
    """Under four clients' pushes and pulls replicas die: all that was acknowledged is whole, and no client fails.

    An upload in the middle of a chunk dies with each of them, and goes on at another replica, at the chunk's beginning.
    """
    # These two give up when the body of a blob is cut, which HAProxy cannot send again: the others begin the blob anew.
    patient_skopeo = Repeating(skopeo, rf"received unexpected HTTP status: 502|Patch {UPLOAD}: {CUT}")
    patient_oras = Repeating(oras, rf"Put {UPLOAD}: {CUT}|PUT {UPLOAD}: .*(502|404)")
    pushes = {
        "crane": lambda layout, reference: crane("push", "--insecure", layout, reference),
        "skopeo": lambda layout, reference: patient_skopeo(
            "copy", "--retry-times=5", "--dest-tls-verify=false", f"oci:{layout}:image", f"docker://{reference}"
        ),
        "oras": lambda layout, reference: patient_oras(
            "cp", "--from-oci-layout", f"{layout}:image", "--to-plain-http", reference
        ),
        "regctl": lambda layout, reference: regctl("image", "copy", f"ocidir://{layout}:image", reference),
    }
    pulls = {"regctl-pull": lambda reference, target: regctl("image", "copy", reference, f"ocidir://{target}:image")}
    since = farm.edge.process.log_size()
    with working(load, pushes, pulls):
        for replica in farm.replicas:
            load.wait_for_more(PUSHES_BETWEEN)
            held = HeldChunk.at(replica.name, farm, "held", source)
            replica.process.kill()
            assert held.was_cut()
            assert held.resume() == held.saved_bytes
            farm.revive()
    assert {repository for repository, _ in load.images} == {f"{client}/app" for client in pushes}
    assert load.pulls
    load.read_back()

    failed = [passed for passed in farm.edge.passed(since) if passed.failed]
    cut_chunks = [passed for passed in failed if passed.method == "PATCH"]
    assert len([passed for passed in cut_chunks if "/v2/held/" in passed.target]) == len(farm.replicas)
    assert len(patient_skopeo.gave_up) <= len(farm.replicas)
    assert len(patient_oras.gave_up) <= len(farm.replicas)
    # These HAProxy sends again by itself.
    assert [passed for passed in failed if passed.method in {"HEAD", "POST"} or "/manifests/" in passed.target] == []
