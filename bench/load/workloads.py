"""The workloads: what is there before, what each client has ready, and what it does again and again."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.clients.blobs import has_blob, pull_blob
from bench.clients.connection import Connection, Refused
from bench.clients.content import Content
from bench.clients.images import Image, pull_manifest
from bench.load.clients import Client
from bench.load.spec import Load

Unit = Literal["MB/s", "op/s"]
CONFIG_BYTES = (2 << 10, 8 << 10)
HEADS = 32
"""Blobs that `heads` asks for."""
MIXED_IMAGES = 4
TAG_REPOSITORY = "bench/tags"
LAYER_SIZES = (
    (0.65, 10 << 10, 1_000_000),
    (0.15, 1_000_000, 10_000_000),
    (0.20, 10_000_000, math.inf),
)
"""Shares of layers between two sizes.

Anwar et al., "Improving Docker Registry Design based on Production Workload Analysis", FAST 2018: of the layers in the
traces of IBM's registries 65% are smaller than 1 MB and 80% smaller than 10 MB. Within a class sizes are drawn evenly on
a logarithmic scale; the first begins at 10 KiB, the last ends at `Sizes.longest_layer_bytes`.
"""


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
        client.prepared.append(_content(client, size))


def _content(client: Client, size: int) -> Content:
    content = Content(client.fresh_name(), size)
    assert content.digest, "computed now"
    return content


def _push(client: Client) -> None:
    content = client.prepared.pop() if client.prepared else _content(client, client.load.sizes.layer_bytes)
    client.push("bench/push", content)


def storm_image(load: Load) -> Image:
    """Return the one image that all pull: the same for all clients of a load."""
    sizes = [CONFIG_BYTES[1], *[load.sizes.layer_bytes] * load.sizes.image_layers]
    return Image(load.seed, "storm", [Content(f"{load.seed}/storm/{index}", size) for index, size in enumerate(sizes)])


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


def layer_size(chance: random.Random, longest: float) -> int:
    """Draw a size as layers have them in `LAYER_SIZES`."""
    shares = [share for share, _, _ in LAYER_SIZES]
    _, least, most = chance.choices(LAYER_SIZES, shares)[0]
    least, most = min(least, longest), min(most, longest)
    return int(math.exp(chance.uniform(math.log(least), math.log(most))))


def base_layers(load: Load) -> list[Content]:
    """Return the layers that all images share, the same for all clients of a load."""
    chance = random.Random(f"{load.seed}/base")
    sizes = [layer_size(chance, load.sizes.longest_layer_bytes) for _ in range(load.sizes.base_layers)]
    return [Content(f"{load.seed}/base/{index}", size) for index, size in enumerate(sizes)]


def _ci_image(client: Client, tag: str, base: list[Content]) -> Image:
    sizes = client.load.sizes
    config = _content(client, client.random.randint(*CONFIG_BYTES))
    own = [
        _content(client, layer_size(client.random, sizes.longest_layer_bytes)) for _ in range(sizes.unique_layers)
    ]
    return Image(client.load.seed, tag, [config, *base, *own])


def _seed_base(client: Client) -> None:
    config = _content(client, CONFIG_BYTES[0])
    client.push_image("bench/images", Image(client.load.seed, "base", [config, *base_layers(client.load)]))


def _prepare_images(client: Client) -> None:
    base = base_layers(client.load)
    ready_bytes = 0
    while ready_bytes < client.load.prepared_bytes or not client.images:
        image = _ci_image(client, f"image-{client.index}-{len(client.images)}", base)
        client.images.append(image)
        ready_bytes += sum(blob.size_bytes for blob in image.blobs) - sum(blob.size_bytes for blob in base)
    client.images.reverse()


def _push_ci_image(client: Client) -> None:
    if len(client.images) > 1:
        image = client.images.pop()
    else:  # the last one stays: its base is that of all
        base = client.images[0].blobs[1 : 1 + client.load.sizes.base_layers]
        image = _ci_image(client, f"more-{client.fresh_name().replace('/', '-')}", base)
    client.push_image("bench/images", image)


def mixed_images(load: Load) -> list[Image]:
    """Return the images that are pulled in `mixed`."""
    chance = random.Random(f"{load.seed}/mixed")
    images = []
    for number in range(MIXED_IMAGES):
        sizes = [CONFIG_BYTES[0], *(layer_size(chance, load.sizes.longest_layer_bytes) for _ in range(3))]
        blobs = [Content(f"{load.seed}/mixed/{number}/{index}", size) for index, size in enumerate(sizes)]
        images.append(Image(load.seed, f"mixed-{number}", blobs))
    return images


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
        _push_ci_image(client)


def _small(client: Client) -> None:
    size = client.random.randint(*client.load.sizes.small_bytes)
    client.push("bench/small", _content(client, size))


def _tag_image(load: Load, index: int, number: int) -> Image:
    """Return an image of the same one configuration, but a manifest of its own."""
    config = Content(f"{load.seed}/tags", CONFIG_BYTES[0])
    return Image(load.seed, f"tag-{index}-{number}", [config], {"client": str(index), "number": str(number)})


def _seed_tags(client: Client) -> None:
    client.push_image(TAG_REPOSITORY, _tag_image(client.load, client.index, 0))


def _race(client: Client) -> None:
    """Push one tag of our own, then the one that everybody pushes."""
    image = _tag_image(client.load, client.index, len(client.journal.images) + 1)
    client.tag(TAG_REPOSITORY, image)
    client.tag(TAG_REPOSITORY, image, shared_tag="latest")


def head_blobs(load: Load) -> list[Content]:
    """Return the blobs that `heads` asks for, the same for all clients of a load."""
    return [Content(f"{load.seed}/heads/{index}", load.sizes.small_bytes[1]) for index in range(HEADS)]


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
            "images", "images as CI pushes them", "MB/s", "push of an image", _push_ci_image, _seed_base, _prepare_images
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
