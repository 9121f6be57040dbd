"""Tags that belong to an image: those of its signatures and attestations, and lists of its referrers."""

import re

_COMPANION = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{121})(?:\..*)?")


def companion_of(tag: str) -> str | None:
    """Return the stem of the tags of the image that such a tag belongs to, or `None`: it belongs to none.

    cosign names signatures `sha256-<hex>.sig`. Clients of registries without the referrers API maintain `sha256-<hex>`.
    """
    found = _COMPANION.fullmatch(tag)
    return None if found is None else found[1]
