"""What handlers read from a request, parsed: a value of the domain, or its error."""

from zotpy.bucket.tags import does_not_hold
from zotpy.core.digests import Digest, parse_algorithm
from zotpy.core.errors import DigestInvalid, TagInvalid
from zotpy.core.names import Tag
from zotpy.core.preconditions import Condition, EntityTags
from zotpy.core.ranges import Span, parse_chunk_range, parse_content_length
from zotpy.http.server.bounded_request import BoundedRequest


def required_digest(request: BoundedRequest) -> Digest:
    """Read `?digest=`; raises `DigestInvalid`."""
    text = request.args.get("digest")
    if not text:
        msg = "the upload cannot be finished without a digest: add ?digest=<digest>"
        raise DigestInvalid(msg)
    return Digest.parse(text)


def algorithm_of(request: BoundedRequest) -> str:
    """Read `?digest-algorithm=`; sha256 without it. Raises `DigestInvalid`."""
    return parse_algorithm(request.args.get("digest-algorithm") or "sha256")


def chunk_of(request: BoundedRequest) -> tuple[Span | None, int | None]:
    """Read Content-Range and Content-Length; raises `RangeInvalid`, `SizeInvalid`."""
    headers = request.headers
    return parse_chunk_range(headers.get("Content-Range")), parse_content_length(headers.get("Content-Length"))


def extra_tags_of(request: BoundedRequest, most: int) -> list[Tag]:
    """Read every `?tag=`, each once. Raises `TagInvalid`, also for more than `most`."""
    texts = dict.fromkeys(request.args.getlist("tag"))
    if len(texts) > most:
        msg = f"the push has {len(texts)} ?tag=, and at most {most} are accepted at once: push again for the others"
        raise TagInvalid(msg)
    return [Tag.parse(text) for text in texts]


def condition_of(request: BoundedRequest) -> Condition | None:
    """Read If-Match and If-None-Match of a request that changes something; raises `DigestInvalid`."""
    match, none_match = _entity_tags(request, "If-Match"), _entity_tags(request, "If-None-Match")
    return None if match is None and none_match is None else Condition(match, none_match)


def is_unchanged(request: BoundedRequest, digest: Digest) -> bool:
    """Say whether the client of a read has this content already (RFC 9110, sections 13.1.1 and 13.1.2).

    Raises `PreconditionFailed` if it asks for other content. A malformed If-None-Match is ignored.
    """
    match = _entity_tags(request, "If-Match")
    if match is not None and not match.match_strongly(digest):
        raise does_not_hold(digest, digest)
    try:
        none_match = _entity_tags(request, "If-None-Match")
    except DigestInvalid:
        return False
    return none_match is not None and none_match.match_weakly(digest)


def _entity_tags(request: BoundedRequest, name: str) -> EntityTags | None:
    listed = request.headers.getlist(name)
    return EntityTags.parse(",".join(listed)) if listed else None
