"""What clients push and pull: the blobs and images of each workload, drawn from the load's seed."""

import math
import random
from functools import lru_cache

from bench.clients.content import Content
from bench.clients.images import Image
from bench.load.clients import Client
from bench.load.spec import Load

CONFIG_BYTES = (2 << 10, 8 << 10)
HEADS = 32
"""Blobs that `heads` asks for."""
MIXED_IMAGES = 4
LAYER_SIZES = (
    (0.65, 10 << 10, 1_000_000),
    (0.15, 1_000_000, 10_000_000),
    (0.20, 10_000_000, math.inf),
)
"""Shares of layers between two sizes.

Anwar et al., "Improving Docker Registry Design based on Production Workload Analysis", FAST 2018: of the layers in the
traces of IBM's registries 65% are smaller than 1 MB and 80% smaller than 10 MB. Within a class sizes are drawn evenly
on a logarithmic scale; the first begins at 10 KiB, the last ends at `Sizes.longest_layer_bytes`.
"""


def fresh_content(client: Client, size: int) -> Content:
    """Return a blob that nobody pushed before, its digest computed."""
    content = Content(client.fresh_name(), size)
    assert content.digest, "computed now"
    return content


OWN_LAYERS = 4
"""How many layers each client has if each pulls its own."""


@lru_cache(maxsize=2)
def storm_layer(load: Load) -> Content:
    """Return the one layer that all pull at once."""
    return Content(f"{load.seed}/layer", load.sizes.layer_bytes)


@lru_cache(maxsize=64)
def own_layers(load: Load, index: int) -> list[Content]:
    """Return the layers that one client pulls, and no other one."""
    return [Content(f"{load.seed}/layer/{index}/{number}", load.sizes.layer_bytes) for number in range(OWN_LAYERS)]


@lru_cache(maxsize=2)
def storm_image(load: Load) -> Image:
    """Return the one image that all pull: the same for all clients of a load."""
    sizes = [CONFIG_BYTES[1], *[load.sizes.layer_bytes] * load.sizes.image_layers]
    return Image(load.seed, "storm", [Content(f"{load.seed}/storm/{index}", size) for index, size in enumerate(sizes)])


def layer_size(chance: random.Random, longest: float) -> int:
    """Draw a size as layers have them in `LAYER_SIZES`."""
    shares = [share for share, _, _ in LAYER_SIZES]
    _, least, most = chance.choices(LAYER_SIZES, shares)[0]
    ends = math.log(min(least, longest)), math.log(min(most, longest))
    return int(math.exp(chance.uniform(*ends)))


def base_layers(load: Load) -> list[Content]:
    """Return the layers that all images share, the same for all clients of a load."""
    chance = random.Random(f"{load.seed}/base")
    sizes = [layer_size(chance, load.sizes.longest_layer_bytes) for _ in range(load.sizes.base_layers)]
    return [Content(f"{load.seed}/base/{index}", size) for index, size in enumerate(sizes)]


def ci_image(client: Client, tag: str, base: list[Content]) -> Image:
    """Return an image of the base that all share and a few layers of its own."""
    sizes = client.load.sizes
    config = fresh_content(client, client.random.randint(*CONFIG_BYTES))
    own = [
        fresh_content(client, layer_size(client.random, sizes.longest_layer_bytes)) for _ in range(sizes.unique_layers)
    ]
    return Image(client.load.seed, tag, [config, *base, *own])


@lru_cache(maxsize=2)
def mixed_images(load: Load) -> list[Image]:
    """Return the images that are pulled in `mixed`."""
    chance = random.Random(f"{load.seed}/mixed")
    images = []
    for number in range(MIXED_IMAGES):
        sizes = [CONFIG_BYTES[0], *(layer_size(chance, load.sizes.longest_layer_bytes) for _ in range(3))]
        blobs = [Content(f"{load.seed}/mixed/{number}/{index}", size) for index, size in enumerate(sizes)]
        images.append(Image(load.seed, f"mixed-{number}", blobs))
    return images


def tag_image(load: Load, index: int, number: int) -> Image:
    """Return an image of the same one configuration, but a manifest of its own."""
    config = Content(f"{load.seed}/tags", CONFIG_BYTES[0])
    return Image(load.seed, f"tag-{index}-{number}", [config], {"client": str(index), "number": str(number)})


@lru_cache(maxsize=2)
def head_blobs(load: Load) -> list[Content]:
    """Return the blobs that `heads` asks for, the same for all clients of a load."""
    return [Content(f"{load.seed}/heads/{index}", load.sizes.small_bytes[1]) for index in range(HEADS)]


@lru_cache(maxsize=2)
def small_image_of(load: Load) -> Image:
    """Return the small image that `requests` asks for, the same for all clients of a load."""
    return Image(load.seed, "small")
