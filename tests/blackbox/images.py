"""Content for the clients: OCI layouts of packages that are installed beside the tests, and of one large file."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import sysconfig
import tarfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"

SMALL_PACKAGES = ("httpx", "h11", "sniffio")
LARGE_FILE_BYTES = 24 << 20


@dataclass(frozen=True)
class Layer:
    """One layer: the bytes that are pushed and the digest of the archive inside."""

    content: bytes
    diff_id: str


@dataclass
class Layout:
    """An OCI image layout on disk."""

    path: Path
    tagged: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the directory a layout without images."""
        self.path.mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._write_index()

    def add_blob(self, content: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
        """Keep the content under its digest and return its descriptor."""
        encoded = hashlib.new(algorithm, content).hexdigest()
        blob = self.path / "blobs" / algorithm / encoded
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        return {"mediaType": media_type, "digest": f"{algorithm}:{encoded}", "size": len(content)}

    def add_image(self, layers: Sequence[Layer], architecture: str = "amd64") -> dict[str, Any]:
        """Add an image of these layers and return the descriptor of its manifest."""
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": self.add_blob(as_json(config), IMAGE_CONFIG),
            "layers": [self.add_blob(layer.content, IMAGE_LAYER) for layer in layers],
        }
        return self.add_blob(as_json(manifest), IMAGE_MANIFEST)

    def add_index(self, images: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Add an index of images by architecture and return its descriptor."""
        manifests = [
            {**descriptor, "platform": {"os": "linux", "architecture": architecture}}
            for architecture, descriptor in images.items()
        ]
        index = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": manifests}
        return self.add_blob(as_json(index), IMAGE_INDEX)

    def tag(self, descriptor: dict[str, Any], name: str) -> None:
        """Name a manifest, so that clients can ask the layout for it."""
        self.tagged.append({**descriptor, "annotations": {REF_NAME: name}})
        self._write_index()

    def _write_index(self) -> None:
        (self.path / "index.json").write_bytes(as_json({"schemaVersion": 2, "manifests": self.tagged}))


def as_json(value: object) -> bytes:
    """Return the value as JSON bytes, always the same for the same value."""
    return json.dumps(value, indent=2).encode()


def stored_blobs(directory: Path) -> dict[str, int]:
    """Return the size of each blob of an OCI layout by its digest, each computed from the bytes that are there."""
    return {
        f"{blob.parent.name}:{file_digest(blob, blob.parent.name)}": blob.stat().st_size
        for blob in sorted((directory / "blobs").glob("*/*"))
    }


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of the file's bytes, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def small_layer(package: str) -> Layer:
    """Return a compressed layer that holds one installed package."""
    return _layer(_package_files(package), compression_level=6)


@cache
def large_layer() -> Layer:
    """Return a layer of one large file, so that a push needs several parts.

    The file is as random as what is compressed. If its bytes were text, SeaweedFS would compress and decompress them.
    """
    content = random.Random("large").randbytes(LARGE_FILE_BYTES)
    return _layer([("opt/large", content)], compression_level=0)


def _layer(files: Iterable[tuple[str, bytes]], compression_level: int) -> Layer:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    diff_id = hashlib.sha256(archive.getbuffer()).hexdigest()
    compressed = gzip.compress(archive.getbuffer(), compression_level, mtime=0)
    return Layer(compressed, f"sha256:{diff_id}")


def _package_files(package: str) -> Iterator[tuple[str, bytes]]:
    root = Path(sysconfig.get_path("purelib"))
    for path in sorted((root / package).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"opt/packages/{path.relative_to(root)}", path.read_bytes()
