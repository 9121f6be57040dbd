"""Small images as CI pushes them: two layers and a configuration at once, then the manifest under a tag."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.clients.blobs import CREATED, OK, Flow, blob_is_missing, expect, push_blob
from bench.clients.connection import Connection
from bench.clients.content import Content
from bench.clients.pool import Connections

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
BLOB_BYTES = (1500, 4000, 7000)


class Image:
    """One image that nobody pushed before; all of it is made before the clock starts."""

    def __init__(
        self, seed: str, tag: str, blobs: Sequence[Content] = (), annotations: Mapping[str, str] | None = None
    ) -> None:
        """Make the manifest that names these blobs, the configuration first; without any, of small ones of its own."""
        self.tag = tag
        self.blobs = list(blobs) or [Content(f"{seed}/{tag}/{index}", size) for index, size in enumerate(BLOB_BYTES)]
        config, *layers = self.blobs
        manifest: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(config, CONFIG_TYPE),
            "layers": [_descriptor(layer, LAYER_TYPE) for layer in layers],
        }
        if annotations is not None:
            manifest["annotations"] = annotations
        self.manifest = json.dumps(manifest).encode()


def _descriptor(content: Content, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": content.digest, "size": content.size_bytes}


def push_manifest(connection: Connection, repository: str, image: Image, tag: str | None = None) -> None:
    """Push the manifest alone, under the image's tag or another one. Raises `Refused`."""
    target = f"/v2/{repository}/manifests/{tag or image.tag}"
    headers = {"Content-Type": MANIFEST_TYPE, "Content-Length": str(len(image.manifest))}
    expect(CREATED, connection.call("PUT", target, headers, [(image.manifest,)]), "PUT of a manifest")


def pull_manifest(connection: Connection, repository: str, tag: str) -> bytes:
    """Return the manifest that a tag names. Raises `Refused`."""
    target = f"/v2/{repository}/manifests/{tag}"
    return expect(OK, connection.call("GET", target, {"Accept": MANIFEST_TYPE}), "GET of a manifest").body


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
        push_manifest(connection, repository, image)


def _push_missing(connections: Connections, repository: str, flow: Flow, blob: Content) -> None:
    with connections.lend() as connection:
        blob_is_missing(connection, repository, blob)
        push_blob(connection, repository, blob, flow)
