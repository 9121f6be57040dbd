"""What a caller can be allowed to do, in the words of zot's `accessControl`, and what else an endpoint can ask for."""

from enum import StrEnum


class Action(StrEnum):
    """What a request does, as far as a permission for it is concerned.

    The first four are what a policy grants on a repository; none of them implies another.
    """

    READ = "read"
    """Pull, or list what a repository has."""
    CREATE = "create"
    """Upload a blob, push a manifest by digest, or push a tag that does not exist."""
    UPDATE = "update"
    """Push a tag that exists, also with the manifest that it names already."""
    DELETE = "delete"
    """Delete a tag, a manifest or a blob."""

    PUSH = "push"
    """Push a manifest under this tag or digest: `CREATE` if the tag is new, `UPDATE` if it exists.

    The question is asked for the path first, then for each `?tag=`. A caller who has both needs no look at the tag. A
    caller who has one of them may push only on a condition: the tag must not exist (`Condition.absent`), or it must. A
    mere look at the tag before the push would let two pushes at once pass.
    """
    CONNECT = "connect"
    """Ask whether the API is here. No policy refuses it; a caller may have to log in first."""
    CATALOG = "catalog"
    """List repositories: those that the caller may read."""
    METRICS = "metrics"
    """Scrape the metrics."""
    ADMIN = "admin"
    """What only the `adminPolicy` grants. No endpoint asks for it so far."""
