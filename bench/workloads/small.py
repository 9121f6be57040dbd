"""`small`: many clients that push small images at once, as CI does, where the store takes its time for each call."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from bench.clients.blobs import Flow
from bench.clients.images import BLOB_BYTES, Image, push_image, verify_images
from bench.clients.pool import Connections
from bench.measures import measured
from bench.servers.shaping import Shape
from bench.workloads.cases import BUSY, Case, Metrics, Row, Site, Sizes, Target

SLOW_TO_ANSWER = Shape(delay_ms=25)
VERIFIED_IMAGES = 5
FLOWS: tuple[Flow, ...] = ("docker", "containerd")


def small_cases(sizes: Sizes) -> list[Case]:
    """Return the pushes, for each blob HEAD, POST, PATCH, PUT as docker, or HEAD, POST, PUT as containerd."""
    rows = (
        Row("images_per_s", "images/s", "higher", Target("times", 3)),
        Row("cpu_ms_per_image", "CPU ms/image"),
        Row("store_cpu_ms_per_image", "store's CPU ms/image"),
        Row("proxy_cpu_ms_per_image", "proxy's CPU ms/image"),
        Row("client_cpu_ms_per_image", "client's CPU ms/image"),
        BUSY,
    )
    return [Case("small", flow, rows, partial(_push, sizes, flow), SLOW_TO_ANSWER) for flow in FLOWS]


def _push(sizes: Sizes, flow: Flow, site: Site, seed: str) -> Metrics:
    repository = f"bench/small-{flow}"
    work = [
        [Image(seed, f"{seed.replace('/', '-')}-{client}-{index}") for index in range(sizes.images_per_client)]
        for client in range(sizes.clients)
    ]
    count = sizes.clients * sizes.images_per_client
    with (
        closing(Connections(site.endpoint)) as connections,
        ThreadPoolExecutor(sizes.clients) as clients,
        ThreadPoolExecutor(sizes.clients * len(BLOB_BYTES)) as blobs,
    ):

        def push_all(images: Sequence[Image]) -> None:
            for image in images:
                push_image(blobs, connections, repository, image, flow)

        with measured(site.trees) as span:
            for _ in clients.map(push_all, work):
                pass
        verify_images(connections, repository, [images[-1] for images in work[:VERIFIED_IMAGES]])
    per_image = {f"{name}_cpu_ms_per_image": 1000 * cpu_s / count for name, cpu_s in span.cpu_s.items()}
    return {
        **per_image,
        "images_per_s": count / span.wall_s,
        "busy_cores": span.busy_cores,
        "cpu_ms_per_image": per_image["registry_cpu_ms_per_image"],
    }
