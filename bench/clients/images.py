"""Small images as CI pushes them: two layers and a configuration at once, then the manifest under a tag."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.clients.blobs import CREATED, OK, Flow, blob_is_missing, expect, push_blob, verify_blob
from bench.clients.connection import Connections, Refused
from bench.clients.content import Content

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
BLOB_BYTES = (1500, 4000, 7000)


class Image:
    """One image that nobody pushed before; all of it is made before the clock starts."""

    def __init__(self, seed: str, tag: str) -> None:
        """Make the blobs, and the manifest that names them."""
        self.tag = tag
        self.blobs = [Content(f"{seed}/{tag}/{index}", size) for index, size in enumerate(BLOB_BYTES)]
        config, *layers = self.blobs
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(config, CONFIG_TYPE),
            "layers": [_descriptor(layer, LAYER_TYPE) for layer in layers],
        }
        self.manifest = json.dumps(manifest).encode()


def _descriptor(content: Content, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": content.digest, "size": content.size_bytes}


def push_image(pool: ThreadPoolExecutor, connections: Connections, repository: str, image: Image, flow: Flow) -> None:
    """Push the blobs at once, each after a HEAD, then the manifest. Raises `Refused`."""
    first, *others = image.blobs
    push = partial(_push_missing, connections, repository, flow)
    under_way = [pool.submit(push, blob) for blob in others]
    try:
        push(first)
    finally:
        for future in under_way:
            future.result()
    with connections.lend() as connection:
        target = f"/v2/{repository}/manifests/{image.tag}"
        headers = {"Content-Type": MANIFEST_TYPE, "Content-Length": str(len(image.manifest))}
        expect(CREATED, connection.call("PUT", target, headers, [(image.manifest,)]), "PUT of a manifest")


def _push_missing(connections: Connections, repository: str, flow: Flow, blob: Content) -> None:
    with connections.lend() as connection:
        blob_is_missing(connection, repository, blob)
        push_blob(connection, repository, blob, flow)


def verify_images(connections: Connections, repository: str, images: Sequence[Image]) -> None:
    """Pull these images by their tags and compare every byte. Raises `Refused`."""
    for image in images:
        with connections.lend() as connection:
            target = f"/v2/{repository}/manifests/{image.tag}"
            answer = expect(OK, connection.call("GET", target, {"Accept": MANIFEST_TYPE}), "GET of a manifest")
            if answer.body != image.manifest:
                msg = f"the manifest of {image.tag} is not the one that was pushed"
                raise Refused(msg)
            for blob in image.blobs:
                verify_blob(connection, repository, blob)
