"""What clients do: what is there before, what each has ready, and what it does again and again."""

import math
import time

from bench.clients.blobs import blob_is_there, check_version, pull_blob
from bench.clients.connection import Connection, Refused
from bench.clients.content import Content
from bench.clients.images import Image, pull_manifest
from bench.load.clients import Client
from bench.load.content import (
    CONFIG_BYTES,
    base_layers,
    ci_image,
    fresh_content,
    head_blobs,
    mixed_images,
    own_layers,
    small_image_of,
    storm_image,
    storm_layer,
    tag_image,
)

TAG_REPOSITORY = "bench/tags"


def unique_layers(client: Client) -> None:
    """Compute digests until there is enough for the run."""
    size = client.load.sizes.layer_bytes
    for _ in range(math.ceil(client.load.prepared_bytes / size)):
        client.prepared.append(fresh_content(client, size))


def push(client: Client) -> None:
    """Push a layer, no byte of which was pushed before."""
    content = client.prepared.pop() if client.prepared else fresh_content(client, client.load.sizes.layer_bytes)
    client.push("bench/push", content)


def seed_storm(client: Client) -> None:
    """Push the image that all pull."""
    client.push_image("bench/pull", storm_image(client.load))


def pull(client: Client) -> None:
    """Pull the image that all pull."""
    pull_image(client, "bench/pull", storm_image(client.load))


def pull_image(client: Client, repository: str, image: Image) -> None:
    """Pull an image: its manifest, which is compared, and each blob."""

    def pull_all(connection: Connection) -> None:
        if pull_manifest(connection, repository, image.tag) != image.manifest:
            msg = f"the manifest of {image.tag} is not the one that was pushed"
            raise Refused(msg)
        for blob in image.blobs:
            pull_blob(connection, repository, blob)

    client.perform("pull of an image", pull_all)


STORM_REPOSITORY = "bench/storm"


def seed_layer(client: Client) -> None:
    """Push the one layer that all pull at once."""
    client.push(STORM_REPOSITORY, storm_layer(client.load))


def seed_pulled_layer(client: Client) -> None:
    """Push it, and pull it once."""
    seed_layer(client)
    pull_layer(client)


def know_layers(client: Client) -> None:
    """Compute the digests of what is pulled."""
    for content in (storm_layer(client.load), *own_layers(client.load, client.index)):
        assert content.digest, "computed now"


def pull_layer(client: Client) -> None:
    """Pull the one layer."""
    _pull_layer(client, storm_layer(client.load))


def seed_own_layers(client: Client) -> None:
    """Push what each client pulls alone."""
    for index in range(client.load.clients):
        for content in own_layers(client.load, index):
            client.push(STORM_REPOSITORY, content)


def pull_own_layers(client: Client) -> None:
    """Pull layers that nobody else pulls, one after another."""
    for content in own_layers(client.load, client.index):
        _pull_layer(client, content)


def _pull_layer(client: Client, content: Content) -> None:
    client.perform("pull", lambda connection: pull_blob(connection, STORM_REPOSITORY, content))


def seed_base(client: Client) -> None:
    """Push the image whose layers all others share."""
    config = fresh_content(client, CONFIG_BYTES[0])
    client.push_image("bench/images", Image(client.load.seed, "base", [config, *base_layers(client.load)]))


def prepare_images(client: Client) -> None:
    """Make images until there is enough for the run."""
    base = base_layers(client.load)
    ready_bytes = 0
    while ready_bytes < client.load.prepared_bytes or not client.images:
        image = ci_image(client, f"image-{client.index}-{len(client.images)}", base)
        client.images.append(image)
        ready_bytes += sum(blob.size_bytes for blob in image.blobs) - sum(blob.size_bytes for blob in base)
    client.images.reverse()


BUILDS = 8
"""How many images each client pushes in `builds`."""


def prepare_builds(client: Client) -> None:
    """Make the images that are built."""
    base = base_layers(client.load)
    client.images += [ci_image(client, f"build-{client.index}-{number}", base) for number in range(BUILDS)]


def builds(client: Client) -> None:
    """Push images as CI does, each of the base that is there and layers of its own, and pull each of them once."""
    for image in client.images:
        began = time.monotonic()
        if client.push_image("bench/images", image):
            pull_image(client, "bench/images", image)
            client.journal.operations.append(("build", began, time.monotonic()))


def push_image(client: Client) -> None:
    """Push an image as CI does: the base, which is there, and layers of its own."""
    if len(client.images) > 1:
        image = client.images.pop()
    else:  # the last one stays: its base is that of all
        base = client.images[0].blobs[1 : 1 + client.load.sizes.base_layers]
        image = ci_image(client, f"more-{client.fresh_name().replace('/', '-')}", base)
    client.push_image("bench/images", image)


def seed_mixed(client: Client) -> None:
    """Push the base, and the images that are pulled."""
    seed_base(client)
    for image in mixed_images(client.load):
        client.push_image("bench/mixed", image)


def prepare_mixed(client: Client) -> None:
    """Make images to push, and those to pull."""
    prepare_images(client)
    mixed_images(client.load)


def mixed(client: Client) -> None:
    """Pull an image, or push one."""
    if client.random.random() < client.load.pull_share:
        pull_image(client, "bench/mixed", client.random.choice(mixed_images(client.load)))
    else:
        push_image(client)


def small(client: Client) -> None:
    """Push a small blob."""
    size = client.random.randint(*client.load.sizes.small_bytes)
    client.push("bench/small", fresh_content(client, size))


def small_image(client: Client) -> None:
    """Push a small image: two layers and a configuration at once, then the manifest."""
    name = client.fresh_name()
    client.push_image_at_once("bench/small-images", Image(name, name.replace("/", "-")))


def seed_tags(client: Client) -> None:
    """Push the one configuration that all manifests name."""
    client.push_image(TAG_REPOSITORY, tag_image(client.load, client.index, 0))


def race(client: Client) -> None:
    """Push one tag of our own, then the one that everybody pushes."""
    image = tag_image(client.load, client.index, len(client.journal.images) + 1)
    client.tag(TAG_REPOSITORY, image)
    client.tag(TAG_REPOSITORY, image, shared_tag="latest")


def seed_heads(client: Client) -> None:
    """Push the blobs that are asked for."""
    for content in head_blobs(client.load):
        client.push("bench/heads", content)


def head(client: Client) -> None:
    """Ask for a blob that is there."""
    content = client.random.choice(head_blobs(client.load))
    client.perform("head", lambda connection: blob_is_there(connection, "bench/heads", content))


REQUESTS_REPOSITORY = "bench/requests"


def seed_requests(client: Client) -> None:
    """Push the small image that requests ask for."""
    client.push_image(REQUESTS_REPOSITORY, small_image_of(client.load))


def ping(client: Client) -> None:
    """Ask for `/v2/`, which says that a registry is there."""
    client.perform("request", check_version)


def get_manifest(client: Client) -> None:
    """Get a manifest by its tag."""
    tag = small_image_of(client.load).tag
    client.perform("request", lambda connection: pull_manifest(connection, REQUESTS_REPOSITORY, tag))


def head_blob(client: Client) -> None:
    """Ask for a small blob that is there."""
    blob = small_image_of(client.load).blobs[1]
    client.perform("request", lambda connection: blob_is_there(connection, REQUESTS_REPOSITORY, blob))


def get_blob(client: Client) -> None:
    """Get a small blob."""
    blob = small_image_of(client.load).blobs[1]
    client.perform("request", lambda connection: pull_blob(connection, REQUESTS_REPOSITORY, blob))
