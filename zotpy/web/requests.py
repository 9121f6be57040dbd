"""What handlers read from a request, parsed: a value of the domain, or its error."""

from zotpy.core.digests import Digest, parse_algorithm
from zotpy.core.errors import DigestInvalid, Unsupported
from zotpy.core.names import Tag
from zotpy.core.ranges import Span, parse_chunk_range, parse_content_length
from zotpy.registry.tags import Condition
from zotpy.web.bodies import BoundedRequest


def required_digest(request: BoundedRequest) -> Digest:
    """Read `?digest=`; raises `DigestInvalid`."""
    text = request.args.get("digest")
    if not text:
        msg = "finishing an upload takes ?digest=<digest>"
        raise DigestInvalid(msg)
    return Digest.parse(text)


def algorithm_of(request: BoundedRequest) -> str:
    """Read `?digest-algorithm=`, sha256 without it; raises `DigestInvalid`."""
    return parse_algorithm(request.args.get("digest-algorithm") or "sha256")


def chunk_of(request: BoundedRequest) -> tuple[Span | None, int | None]:
    """Read Content-Range and Content-Length; raises `RangeInvalid`, `SizeInvalid`."""
    headers = request.headers
    return parse_chunk_range(headers.get("Content-Range")), parse_content_length(headers.get("Content-Length"))


def extra_tags_of(request: BoundedRequest) -> list[Tag]:
    """Read every `?tag=`, each once; raises `TagInvalid`."""
    return list(dict.fromkeys(Tag.parse(text) for text in request.args.getlist("tag")))


def condition_of(request: BoundedRequest) -> Condition | None:
    """Read `If-None-Match: *` and `If-Match: "<digest>"` of a push; raises `Unsupported`, `DigestInvalid`."""
    none_match, match = request.headers.get("If-None-Match"), request.headers.get("If-Match")
    if none_match is None and match is None:
        return None
    if none_match is not None and none_match.strip() != "*":
        msg = 'a push takes If-None-Match: * (create only) or If-Match: "<digest>" (replace this manifest)'
        raise Unsupported(msg, detail={"header": "If-None-Match"})
    if match is None:
        return Condition(absent=True)
    return Condition(absent=none_match is not None, names=Digest.parse(match.strip().strip('"')))


def is_unchanged(request: BoundedRequest, digest: Digest) -> bool:
    """Say whether the client has this content already (`If-None-Match` of a read, RFC 9110, section 13.1.2)."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or str(digest) in tags
