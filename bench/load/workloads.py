"""The workloads: what is there before, what each client has ready, and what it does again and again."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.clients.blobs import has_blob, pull_blob
from bench.clients.connection import Connection, Refused
from bench.clients.images import Image, pull_manifest
from bench.load.clients import Client
from bench.load.content import (
    CONFIG_BYTES,
    base_layers,
    ci_image,
    fresh_content,
    head_blobs,
    mixed_images,
    storm_image,
    tag_image,
)

Unit = Literal["MB/s", "op/s"]
TAG_REPOSITORY = "bench/tags"


@dataclass(frozen=True)
class Workload:
    """One workload."""

    name: str
    what: str
    unit: Unit
    """Of its throughput."""
    headline: str
    """The operation that counts for op/s and whose latency is shown first."""
    step: Callable[[Client], object]
    """What each client does again and again."""
    seed: Callable[[Client], object] = lambda _: None
    """Done once by one client, before all others begin."""
    prepare: Callable[[Client], object] = lambda _: None
    """Done by each client before the clock starts; sends nothing."""


def _unique_layers(client: Client) -> None:
    """Compute digests until there is enough for the run."""
    size = client.load.sizes.layer_bytes
    for _ in range(math.ceil(client.load.prepared_bytes / size)):
        client.prepared.append(fresh_content(client, size))


def _push(client: Client) -> None:
    content = client.prepared.pop() if client.prepared else fresh_content(client, client.load.sizes.layer_bytes)
    client.push("bench/push", content)


def _seed_storm(client: Client) -> None:
    client.push_image("bench/pull", storm_image(client.load))


def _keep_storm(client: Client) -> None:
    client.images = [storm_image(client.load)]


def _pull(client: Client) -> None:
    _pull_image(client, "bench/pull", client.images[0])


def _pull_image(client: Client, repository: str, image: Image) -> None:
    def pull_all(connection: Connection) -> None:
        if pull_manifest(connection, repository, image.tag) != image.manifest:
            msg = f"the manifest of {image.tag} is not the one that was pushed"
            raise Refused(msg)
        for blob in image.blobs:
            pull_blob(connection, repository, blob)

    client.perform("pull of an image", pull_all)


def _seed_base(client: Client) -> None:
    config = fresh_content(client, CONFIG_BYTES[0])
    client.push_image("bench/images", Image(client.load.seed, "base", [config, *base_layers(client.load)]))


def _prepare_images(client: Client) -> None:
    base = base_layers(client.load)
    ready_bytes = 0
    while ready_bytes < client.load.prepared_bytes or not client.images:
        image = ci_image(client, f"image-{client.index}-{len(client.images)}", base)
        client.images.append(image)
        ready_bytes += sum(blob.size_bytes for blob in image.blobs) - sum(blob.size_bytes for blob in base)
    client.images.reverse()


def _push_image(client: Client) -> None:
    if len(client.images) > 1:
        image = client.images.pop()
    else:  # the last one stays: its base is that of all
        base = client.images[0].blobs[1 : 1 + client.load.sizes.base_layers]
        image = ci_image(client, f"more-{client.fresh_name().replace('/', '-')}", base)
    client.push_image("bench/images", image)


def _seed_mixed(client: Client) -> None:
    _seed_base(client)
    for image in mixed_images(client.load):
        client.push_image("bench/mixed", image)


def _prepare_mixed(client: Client) -> None:
    _prepare_images(client)
    client.pulled = mixed_images(client.load)


def _mixed(client: Client) -> None:
    if client.random.random() < client.load.pull_share:
        _pull_image(client, "bench/mixed", client.random.choice(client.pulled))
    else:
        _push_image(client)


def _small(client: Client) -> None:
    size = client.random.randint(*client.load.sizes.small_bytes)
    client.push("bench/small", fresh_content(client, size))


def _seed_tags(client: Client) -> None:
    client.push_image(TAG_REPOSITORY, tag_image(client.load, client.index, 0))


def _race(client: Client) -> None:
    """Push one tag of our own, then the one that everybody pushes."""
    image = tag_image(client.load, client.index, len(client.journal.images) + 1)
    client.tag(TAG_REPOSITORY, image)
    client.tag(TAG_REPOSITORY, image, shared_tag="latest")


def _seed_heads(client: Client) -> None:
    for content in head_blobs(client.load):
        client.push("bench/heads", content)


def _keep_heads(client: Client) -> None:
    client.prepared = head_blobs(client.load)


def _head(client: Client) -> None:
    content = client.random.choice(client.prepared)

    def ask(connection: Connection) -> None:
        if not has_blob(connection, "bench/heads", content):
            msg = f"the blob {content.digest} is gone"
            raise Refused(msg)

    client.perform("head", ask)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("push", "large layers, no byte of them pushed before", "MB/s", "push", _push, prepare=_unique_layers),
        Workload(
            "images",
            "images as CI pushes them",
            "MB/s",
            "push of an image",
            _push_image,
            _seed_base,
            _prepare_images,
        ),
        Workload("pull", "one image, pulled by all", "MB/s", "pull of an image", _pull, _seed_storm, _keep_storm),
        Workload(
            "mixed", "pulls, and some pushes between", "MB/s", "pull of an image", _mixed, _seed_mixed, _prepare_mixed
        ),
        Workload("small", "small blobs, pushed", "op/s", "push", _small),
        Workload("tags", "tags of one repository, pushed by all at once", "op/s", "tag", _race, _seed_tags),
        Workload("heads", "HEAD of blobs that are there", "op/s", "head", _head, _seed_heads, _keep_heads),
    )
}
"""By name, in the order in which they are run."""
