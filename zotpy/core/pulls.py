r"""When manifests were pulled, as written in the bucket: a line for each, approximate, many in one object.

    {"v":1}
    team/app sha256:0123...
    team/app sha256:4567... 1767225600

Replicas write lines without a time. These mean the time at which the object was written, by the store's clock. The
collector merges many objects into few, and writes the time (Unix, in seconds).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, NameInvalid
from zotpy.core.framing import FramingError, frame, unframe
from zotpy.core.names import RepositoryName

MOST = 20_000
"""This many are written in one object; with usual names that is 2 MiB."""
_FIELDS = 2


@dataclass(frozen=True, slots=True)
class Pull:
    """The last known pull of one manifest, by its digest or by a tag."""

    repo: RepositoryName
    digest: Digest
    time: datetime | None = None
    """`None`: the time at which the object with this line was written."""


def encode_pulls(pulls: Iterable[Pull]) -> bytes:
    """Write pulls, at most `MOST` of them."""
    lines = [
        f"{pull.repo} {pull.digest}" + ("" if pull.time is None else f" {int(pull.time.timestamp())}") for pull in pulls
    ]
    return frame({"v": 1}, "\n".join(lines).encode())


def decode_pulls(value: bytes, written_at: datetime) -> Iterator[Pull]:
    """Read pulls, each with its time. Raises `FramingError`."""
    _, body = unframe(value)
    for line in body.splitlines():
        fields = line.split(b" ")
        try:
            repo, digest = RepositoryName.parse(fields[0].decode()), Digest.parse(fields[1].decode())
            time = datetime.fromtimestamp(int(fields[_FIELDS]), UTC) if fields[_FIELDS:] else written_at
        except (DigestInvalid, NameInvalid, ValueError, IndexError, OverflowError, OSError) as error:
            msg = "an object with the times of pulls is damaged"
            raise FramingError(msg) from error
        yield Pull(repo, digest, time)


def encode_since(since: datetime) -> bytes:
    """Write the time since which pulls are noted."""
    return frame({"v": 1, "since": int(since.timestamp())})


def decode_since(value: bytes) -> datetime:
    """Read it. Raises `FramingError`."""
    header, _ = unframe(value)
    try:
        return datetime.fromtimestamp(int(header["since"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        msg = "the object with the time since which pulls are noted is damaged"
        raise FramingError(msg) from error
