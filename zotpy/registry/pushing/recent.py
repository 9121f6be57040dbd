"""Uploads whose bytes this replica received a moment ago: their PUT need not read the state back.

docker, podman, skopeo and crane send a blob as POST, one PATCH, and a PUT without a body, mostly over one connection.
The PATCH is answered when its bytes are in the store, so that any replica can continue. If the PUT comes to the same
replica, the replica need not read what it has just written. For a small blob that is one of the few calls that run one
after another. For a large one it is also up to a part's length of bytes, the tail.

The replica remembers small blobs, with a copy of their bytes, and large ones that are all in parts, including the tail.

The digest in the PUT is the proof: the replica uses what it remembers only if it is the blob that the client wants.
Another replica may have received another chunk or a DELETE meanwhile. This PUT overtakes them, as if it had come later,
unless they deleted or replaced a part of a large blob. Then, and in every other case, the state in the store decides.
The result is never another blob than the one that was asked for.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from zotpy.core.digests import Digest
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.core.upload_state import UploadState
from zotpy.registry.pushing.states import SavedState

LARGEST_BYTES = 4 * 1024 * 1024
_EACH_BYTES = 2 * 1024
_PART_BYTES = 256
"""About what one takes beside its bytes, and what each of its parts takes."""


@dataclass(eq=False, slots=True)
class Recent:
    """States that this replica wrote last. The oldest are dropped first."""

    _states: OrderedDict[str, SavedState] = field(default_factory=OrderedDict, init=False)
    held_bytes: int = field(default=0, init=False)

    def add(self, saved: SavedState) -> None:
        """Remember a state that was saved, if it is that of a small blob, or of one that is all in parts."""
        self.drop(saved.key)
        state = saved.state.closed()
        is_small = not state.parts and state.kept is None and 0 < state.offset <= INLINE_LIMIT_BYTES
        is_in_parts = bool(state.parts) and not state.tail
        if not (is_small or is_in_parts):
            return
        tail = Pieces(bytes(state.tail))
        copied = state.after(state.offset, state.parts, state.hash_state, tail, state.tail_part)
        self._states[saved.key] = SavedState(saved.store, saved.key, copied, saved.etag)
        self.held_bytes += _weight(copied)
        while self.held_bytes > LARGEST_BYTES:
            self.drop(next(iter(self._states)))

    def take(self, key: str, offset: int, digest: Digest) -> SavedState | None:
        """Return a state once, if it has as many bytes as the client knows of, and they have this digest."""
        saved = self.drop(key)
        hasher = saved.state.hasher() if saved is not None and saved.state.offset == offset else None
        if hasher is None or hasher.algorithm != digest.algorithm or hasher.digest() != digest:
            return None
        return saved

    def drop(self, key: str) -> SavedState | None:
        """Forget a state, and return it."""
        saved = self._states.pop(key, None)
        if saved is not None:
            self.held_bytes -= _weight(saved.state)
        return saved


def _weight(state: UploadState) -> int:
    return len(state.tail) + len(state.parts) * _PART_BYTES + _EACH_BYTES
