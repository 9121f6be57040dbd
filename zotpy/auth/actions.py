"""What a caller can be allowed to do, in the words of zot's `accessControl`, and what else an endpoint can ask for."""

from enum import StrEnum


class Action(StrEnum):
    """What a request does, as far as its permission is concerned.

    A policy grants the first five on a repository. None of them implies another.
    """

    __hash__ = str.__hash__  # an enumeration's own is written in Python, and each request looks actions up

    READ = "read"
    """Pull, or list what a repository has."""
    CREATE = "create"
    """Upload a blob, push a manifest by digest, or push a tag that does not exist."""
    UPDATE = "update"
    """Push a tag that exists, also with the manifest that it names already."""
    DELETE = "delete"
    """Delete a tag, a manifest or a blob."""
    DETECT_COLLISION = "detectManifestCollision"
    """Not be let delete a manifest by its digest if several tags name it. A policy grants it like an action."""

    PUSH = "push"
    """Push a manifest under this tag or digest: `CREATE` if the tag is new, `UPDATE` if it exists.

    The question is asked for the path first, then for each `?tag=`, and the answer is yes if a caller has one of the
    two. If they have both, nobody needs to look at the tag. A caller who has one of them may push only on a condition:
    the tag must not exist, or it must (`zotpy.web.push_rights`). A look at the tag before the push would not be enough,
    because two pushes at once could both pass.
    """
    CONNECT = "connect"
    """Ask whether the registry has the API. No policy refuses it, but a caller may have to log in first."""
    CATALOG = "catalog"
    """List repositories. Asked with a repository: whether the list has it, which is so if the caller may read it."""
    METRICS = "metrics"
    """Scrape the metrics."""
    KEYS = "keys"
    """Make, list and revoke one's own API keys. Every user may, if they have logged in by something else than a key."""
    ADMIN = "admin"
    """What only the `adminPolicy` grants. No endpoint asks for it so far."""
