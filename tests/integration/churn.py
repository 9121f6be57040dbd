"""Clients that push and delete, others that pull, until it is enough, and the proof that nothing was lost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import httpx

from tests.blackbox.registry_api import pulled_blobs
from tests.integration.pushing import BUSY, Pushing

if TYPE_CHECKING:
    from threading import Event

    from tests.integration.ledger import Kept
    from tests.integration.pushing import Site

MOST_STEPS = 50_000
BETWEEN_S = 0.3
"""Of one client: with more, the machine is full of what shows nothing else."""


def push_and_delete(site: Site, name: str, enough: Event) -> None:
    """Be the client of that name, until it is enough."""
    pushing = Pushing(site, name)
    for _ in range(MOST_STEPS):
        if enough.wait(BETWEEN_S):
            return
        pushing.step()


def pull(site: Site, name: str, enough: Event) -> None:
    """Pull whatever there is, from any replica, until it is enough."""
    source = random.Random(name)
    for _ in range(MOST_STEPS):
        if enough.wait(BETWEEN_S):
            return
        if there := site.ledger.all():
            _pull_one(site, source.choice(site.replicas), source.choice(there))


def _pull_one(site: Site, replica: httpx.Client, kept: Kept) -> None:
    """Pull an image; it must be whole, unless it is changed meanwhile."""
    found: object
    try:
        found = pulled_blobs(replica, kept.repository, kept.reference)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == BUSY:
            site.counts["busy"] += 1
            return
        found = f"{error.request.url}: {error.response.status_code} {error.response.text}"
    except httpx.TransportError as error:
        found = repr(error)
    if found == kept.image.sizes:
        site.counts["pulled"] += 1
    else:
        assert not site.ledger.holds(kept), f"{kept.repository}:{kept.reference} was lost: {found}"


def read_back(site: Site) -> int:
    """Pull all that must be there from each replica, and see that subjects know their referrers; return how much."""
    there = site.ledger.all()
    for replica in site.replicas:
        for kept in there:
            if kept.reference != kept.image.digest:  # a tag: what it leads to is read by its digest
                answer = replica.get(f"/v2/{kept.repository}/manifests/{kept.reference}").raise_for_status()
                assert answer.content == kept.image.manifest.content
                continue
            assert pulled_blobs(replica, kept.repository, kept.reference) == kept.image.sizes
            if kept.image.subject is not None:
                answer = replica.get(f"/v2/{kept.repository}/referrers/{kept.image.subject}").raise_for_status()
                assert kept.image.digest in [found["digest"] for found in answer.json()["manifests"]]
    return len(there)


def delete_all(site: Site) -> None:
    """Delete every image that is left."""
    sweeping = Pushing(site, "sweep")
    for kept in site.ledger.all():
        if site.ledger.holds(kept):
            sweeping.delete(kept)
