"""What a request can fail with, in the words of the OCI distribution spec (section *Error Codes*).

A `RegistryError` says what went wrong and what the caller can do about it. It knows its OCI code, and nothing about
HTTP: one table in `zotpy.web.errors` has the status of each code.
"""

from collections.abc import Mapping, Sequence

Detail = Mapping[str, object] | str | None


class RegistryError(Exception):
    """A request that cannot be answered as asked; `code` is the OCI error code of the envelope."""

    code = "UNKNOWN"

    def __init__(self, message: str, *, detail: Detail = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def items(self) -> Sequence[tuple[str, str, Detail]]:
        """Every (code, message, detail) of the envelope: one, unless the error names several causes."""
        return [(self.code, self.message, self.detail)]


class NameInvalid(RegistryError):
    """The repository name breaks the spec's grammar (code-5)."""

    code = "NAME_INVALID"


class NameUnknown(RegistryError):
    """No manifest or blob was ever pushed under this repository name (code-6)."""

    code = "NAME_UNKNOWN"


class TagInvalid(RegistryError):
    """The tag or reference breaks the spec's grammar."""

    code = "TAG_INVALID"


class DigestInvalid(RegistryError):
    """The digest is malformed, of an unknown algorithm, or not that of the content (code-4)."""

    code = "DIGEST_INVALID"


class SizeInvalid(RegistryError):
    """The content is not as long as the client said (code-8)."""

    code = "SIZE_INVALID"


class BlobTooLarge(RegistryError):
    """The blob is longer than the parts that the store accepts and this replica can hold."""

    code = "SIZE_INVALID"


class RangeInvalid(RegistryError):
    """A Range or Content-Range that is malformed, or cannot be satisfied.

    If the range was that of a chunk, `offset` is how many bytes of the upload are safe. If the range was that of a
    read, `size_bytes` is the length of the content.
    """

    code = "RANGE_INVALID"

    def __init__(self, message: str, *, size_bytes: int | None = None) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class TooManyRanges(RegistryError):
    """A Range with more ranges than zotpy answers at once.

    The status is 400, not 416: stargz-snapshotter and containers/image then ask for fewer ranges. They give up at any
    other status.
    """

    code = "RANGE_INVALID"


class ChunkOutOfOrder(RegistryError):
    """A chunk that does not begin where the upload's bytes end. `offset` is where they end (end-5, 416)."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self, message: str, *, offset: int, location: str = "") -> None:
        super().__init__(message, detail={"offset": offset})
        self.offset = offset
        self.location = location


class BlobUnknown(RegistryError):
    """The repository has no such blob (code-1)."""

    code = "BLOB_UNKNOWN"


class UploadUnknown(RegistryError):
    """The upload does not exist: it was never begun here, or it was finished, cancelled or timed out (code-3)."""

    code = "BLOB_UPLOAD_UNKNOWN"


class UploadInvalid(RegistryError):
    """The upload cannot continue as the client asks (code-2)."""

    code = "BLOB_UPLOAD_INVALID"


class ManifestUnknown(RegistryError):
    """The repository has no such manifest or tag (code-7)."""

    code = "MANIFEST_UNKNOWN"


class ManifestInvalid(RegistryError):
    """The manifest is not what its media type promises (code-9)."""

    code = "MANIFEST_INVALID"


class ManifestTooLarge(RegistryError):
    """The manifest is longer than this registry accepts."""

    code = "SIZE_INVALID"


class ManifestBlobUnknown(RegistryError):
    """The manifest names content that the repository does not have; one error for each absent digest (code-10)."""

    code = "MANIFEST_BLOB_UNKNOWN"

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__("the manifest references content that is not in the repository: push it first")
        self.digests = tuple(digests)

    def items(self) -> Sequence[tuple[str, str, Detail]]:
        """One (code, message, detail) for each digest that is missing."""
        return [
            (self.code, f"{digest} is not in the repository: push it before the manifest", {"digest": digest})
            for digest in self.digests
        ]


class Unauthorized(RegistryError):
    """The caller has not said who they are, and nobody may do this without (code-11)."""

    code = "UNAUTHORIZED"


class TokenInvalid(Unauthorized):
    """The caller's token is not good, or not any more: another one may be."""


class ScopeInsufficient(Unauthorized):
    """The caller's token is good, and not for this: a token for another scope may be."""


class Denied(RegistryError):
    """The caller is known, and no policy lets them do this (code-12)."""

    code = "DENIED"


class TagImmutable(RegistryError):
    """The tag exists, a rule of the operator makes it immutable, and the request would move or delete it."""

    code = "DENIED"


class ManifestShared(RegistryError):
    """Several tags name the manifest, and its deletion would take all of them."""

    code = "MANIFEST_INVALID"


class PreconditionFailed(RegistryError):
    """If-None-Match or If-Match on a tag did not hold."""

    code = "DENIED"


class Unsupported(RegistryError):
    """The registry does not offer the operation (code-14)."""

    code = "UNSUPPORTED"


class TooManyRequests(RegistryError):
    """The replica is at its limits. Try again after `retry_after_s` seconds (code-15)."""

    code = "TOOMANYREQUESTS"

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TryAgain(RegistryError):
    """The store did not answer, or other requests were faster. Try again after `retry_after_s` seconds.

    Its code is that of too many requests (code-15): skopeo, podman and others repeat a request for no other status.
    """

    code = "TOOMANYREQUESTS"

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(RegistryError):
    """This replica cannot do it, but another one may. Try again after `retry_after_s` seconds."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLate(TryAgain):
    """What the request relied on may be deleted: by store time, it wrote more than the deadline after reading it."""


class StorageFull(RegistryError):
    """The store has no space for what a client pushes. The client can do nothing about it."""

    code = "DENIED"


class ClientStalled(RegistryError):
    """The client stopped sending in the middle of a body, or closed the connection."""

    code = "BLOB_UPLOAD_INVALID"
