"""Images that nobody has pushed before: each of their blobs is new, so each push sends them all."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from typing import TYPE_CHECKING

from tests.blackbox.images import Layer, Layout

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024
LAYER_BYTES = (20 * KIB, 700 * KIB, 6 * KIB * KIB)
"""One that lives in its record, one that is an object, one of two parts."""


def new_image(directory: Path, seed: str) -> Layout:
    """Make a layout of one image, tagged `image`; one seed always gives the same bytes."""
    source = random.Random(seed)
    layout = Layout(directory)
    layout.tag(layout.add_image([_layer(source.randbytes(size)) for size in LAYER_BYTES]), "image")
    return layout


def _layer(content: bytes) -> Layer:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    diff_id = hashlib.sha256(archive.getbuffer()).hexdigest()
    return Layer(gzip.compress(archive.getbuffer(), 0, mtime=0), f"sha256:{diff_id}")
