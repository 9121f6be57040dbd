"""Bodies: blobs, manifests, manifests with something in them that does not belong there, and what is neither."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tests.fuzz.words import BLOB, EMPTY, GOOD_DIGESTS, MEDIA_TYPES, ODD

if TYPE_CHECKING:
    import random

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2, 10**18, 10**400, float("nan"), float("inf"), "", "x", [], {}, [[]], [{}], {"": None}),
    *("sha256:" + "0" * 64, "sha256:x", "\ud800", "\0", "é" * 100, "x" * 5000, [1] * 300, {"digest": 1}, {"size": "3"}),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1")


def body(rng: random.Random) -> bytes:
    """Return the body of a request."""
    kind = rng.random()
    if kind < 0.15:
        return b""
    if kind < 0.35:
        return rng.choice((BLOB, EMPTY, BLOB[:7], BLOB * 5000))
    if kind < 0.85:
        return manifest(rng)
    if kind < 0.95:
        return rng.choice(
            (b"[" * 20_000, b'{"a":' * 5000, b"[" + b"1," * 3000 + b"1]", b'"' + b"\\u0000" * 500 + b'"', b"\xff")
        )
    return rng.randbytes(rng.choice((1, 10, 1000, 100_000)))


def manifest(rng: random.Random) -> bytes:
    """Write a manifest, in most cases with something wrong in it."""
    document: dict[str, Any] = image() if rng.random() < 0.6 else index(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        _spoil(rng, document)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.7)
    if rng.random() < 0.05:
        text = text.replace('"schemaVersion"', '"schemaVersion": 1, "schemaVersion"')
    encoded = text.encode(rng.choice(ENCODINGS) if rng.random() < 0.1 else "utf-8", "replace")
    return encoded if rng.random() < 0.9 else encoded[: rng.randrange(len(encoded) + 1)]


def image() -> dict[str, Any]:
    """Return an image of content that is there."""
    return {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPES[0],
        "config": {"mediaType": "application/x", "digest": GOOD_DIGESTS[1], "size": len(EMPTY)},
        "layers": [{"mediaType": "application/y", "digest": GOOD_DIGESTS[0], "size": len(BLOB)}],
        "subject": {"mediaType": MEDIA_TYPES[0], "digest": f"sha256:{'1' * 64}", "size": 3},
        "annotations": {"note": "x"},
    }


def index(rng: random.Random) -> dict[str, Any]:
    """Return an index of content that is there, by whatever media types."""
    children = [
        {"mediaType": rng.choice(MEDIA_TYPES), "digest": rng.choice(GOOD_DIGESTS), "size": rng.randrange(100)}
        for _ in range(rng.choice((0, 1, 3, 100)))
    ]
    return {"schemaVersion": 2, "mediaType": MEDIA_TYPES[1], "manifests": children, "artifactType": rng.choice(ODD)}


def _spoil(rng: random.Random, document: dict[str, Any]) -> None:
    """Put something odd in one place of a document, or take something out, or add it."""
    place: Any = document
    while True:
        inner = [
            value for value in (place.values() if isinstance(place, dict) else place) if isinstance(value, dict | list)
        ]
        if not inner or rng.random() < 0.4:
            break
        place = rng.choice(inner)
    value = deepcopy(rng.choice(ODD_VALUES))  # the next one may be put into it
    if isinstance(place, list):
        place.append(value)
    elif place and rng.random() < 0.8:
        key = rng.choice(list(place))
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = value
    else:
        place[rng.choice(ODD)] = value
