"""What is called when something happens to the mirror, for metrics."""

from typing import Literal, Protocol

Asked = Literal["unchanged", "changed", "absent", "stale"]
"""What a question about a tag led to. `stale` is an old answer: the upstream did not answer."""
Copied = Literal["copied", "linked", "shared", "passed", "failed"]
"""What happened to a blob. `copied`: it was fetched. `linked`: its bytes were in the bucket already. `shared`: another
replica fetched it. `passed`: it was passed on and not kept, because the store is full. `failed`: it could not be
fetched."""
Answered = Literal["answered", "absent", "refused", "unavailable", "broken"]
"""What an upstream said to a question: it gave what was asked for, does not have it, refuses it, did not answer now, or
answered with something else."""


class MirrorEvents(Protocol):
    """What is called when something happens."""

    def on_mirror_check(self, outcome: Asked) -> None:
        """Count a question to an upstream about a manifest."""

    def on_mirror_answer(self, host: str, outcome: Answered) -> None:
        """Count what a configured upstream said to a question."""

    def on_mirror_copy(self, outcome: Copied) -> None:
        """Count a blob."""

    def on_mirror_bytes(self, size_bytes: int) -> None:
        """Count bytes of blobs that came from an upstream."""

    def on_mirror_remaining(self, host: str, requests: int) -> None:
        """Take note of how many more requests an upstream answers for now, as it says itself."""


class Unwatched:
    """Counts nothing."""

    def on_mirror_check(self, outcome: Asked) -> None:
        """See `MirrorEvents`."""

    def on_mirror_answer(self, host: str, outcome: Answered) -> None:
        """See `MirrorEvents`."""

    def on_mirror_copy(self, outcome: Copied) -> None:
        """See `MirrorEvents`."""

    def on_mirror_bytes(self, size_bytes: int) -> None:
        """See `MirrorEvents`."""

    def on_mirror_remaining(self, host: str, requests: int) -> None:
        """See `MirrorEvents`."""
