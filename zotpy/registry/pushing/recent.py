"""Uploads whose bytes came to this very replica a moment ago: their PUT need not read back where they stand.

docker, podman, skopeo and crane send a blob as POST, one PATCH, and a PUT without a body, mostly over one connection.
The PATCH is answered when its bytes are in the store, so that any replica can go on. Where the PUT comes to the same
one, it spares the reading of what it has just written: a call of the few that a small blob takes one after another, and
up to a part's length of bytes, the tail, with a large one.

Remembered are small blobs, with a copy of their bytes, and large ones all of which are in parts, the tail as well.

The digest in the PUT is the proof: what is here is used only where it is the blob that the client wants. So another
chunk, or a DELETE, which another replica took in meanwhile is overtaken by this PUT, as if it had come later, unless it
took away or sent anew a part of a large one. Then, and in every other case, the state in the store decides. There is
never another blob than the one that was asked for.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from zotpy.core.digests import Digest
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.core.upload_state import UploadState
from zotpy.registry.pushing.states import SavedState

LARGEST_BYTES = 4 * 1024 * 1024
_EACH_BYTES = 2 * 1024
_PART_BYTES = 256
"""What one takes beside its bytes, about, and each of its parts."""


@dataclass(eq=False, slots=True)
class Recent:
    """States that this replica wrote last; the oldest leave first."""

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
        copied = replace(state, tail=Pieces(bytes(state.tail)))
        self._states[saved.key] = SavedState(saved.store, saved.key, copied, saved.etag)
        self.held_bytes += _weight(copied)
        while self.held_bytes > LARGEST_BYTES:
            self.drop(next(iter(self._states)))

    def take(self, key: str, offset: int, digest: Digest) -> SavedState | None:
        """Return a state once, if its bytes are as many as the client knows of, and have this digest."""
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
