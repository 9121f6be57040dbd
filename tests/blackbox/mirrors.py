"""The settings of a replica that mirrors an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def mirrored(url: str, **changed: object) -> Mapping[str, Mapping[str, object]]:
    """Return the section of a replica that mirrors an upstream below `hub`."""
    entry = {"urls": [url], "onDemand": True, "content": [{"prefix": "**", "destination": "/hub"}], **changed}
    return {"extensions": {"sync": {"registries": [entry]}}}
