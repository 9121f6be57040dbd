"""The bucket, and the only functions that build or read its keys.

`!` ends a repository name (names cannot hold it), so keys are unambiguous, no key is the prefix of another object's
directory, and a listing below one repository never strays into another.

    <prefix>/
    ├── data/<id>                              bytes of one large blob; random id; written once, never changed
    ├── hints/<alg>/<hex>/<data id>-<size>     for dedupe across repositories: where a digest is stored already
    ├── entries/<repo>!/blobs/<alg>/<hex>      the blob's bytes where small, else data id and size; or a tombstone
    ├── entries/<repo>!/manifests/<alg>/<hex>  the manifest's bytes, byte-exact, with its media type; or a tombstone
    ├── leases/<repo>!/<kind>/<alg>/<hex>/<id>[.<ms>]-<data id, or 0>  the same value; the authority. `ms`: until when
    │                                          it had to be written (Unix time in ms); a later one is void
    ├── tags/<repo>!/<tag>                     manifest bytes, media type, digest: a pull by tag is one GET
    ├── tagged/<repo>!/<alg>/<hex>/<tag>       which tags name a manifest
    ├── referrers/<repo>!/<alg>/<subject>/<alg>.<hex>   descriptor of one referrer
    ├── repos/<repo, '/' written as '!'>       catalog marker; flat, because some stores list directory by directory
    ├── uploads/<repo>!/<upload id>            state of one upload, and its tail, or the id of the data that holds it
    ├── retired/<data id>-<seconds>            data that no lease named in a listing begun then (Unix time); empty
    ├── pulls/<id>                             which manifests were pulled, and when: many in one object
    ├── pulls/since                            since when pulls are noted
    ├── meta/api-keys/<owner>/<id>             what is known of one API key, with a hash of it
    ├── meta/api-key-uses/<owner>/<id>         its Last-Modified says when the API key was last used
    ├── meta/layout, meta/keys/<id>            layout version; the keys that sign upload tokens
    ├── meta/token-keys/<number>               the keys that sign the tokens of callers, one for each 30 days
    ├── mirror/checks/<repo>!/<tag>            what the upstream said a tag names; its Last-Modified says when
    ├── mirror/referrers/<repo>!/<alg>/<hex>   empty; its Last-Modified says when the upstream was asked for referrers
    ├── mirror/copies/<alg>/<hex>/<source>     which replica copies a blob from its upstream; written anew while it does
    └── mirror/runs/<hex>                      empty; its Last-Modified says when `zotpy sync` has copied a registry

The store adds the prefix: no key here has it.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Self

from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.names import RepositoryName, Tag

Kind = Literal["blobs", "manifests"]
OTHER_KIND: dict[Kind, Kind] = {"blobs": "manifests", "manifests": "blobs"}

NOT_OURS = "is not a key of this registry: move that object out of the bucket"
LAYOUT = "meta/layout"
SIGNING_KEYS = "meta/keys/"
API_KEYS = "meta/api-keys/"
API_KEY_USES = "meta/api-key-uses/"
TOKEN_KEYS = "meta/token-keys/"  # noqa: S105 - where they are
DATA = "data/"
ENTRIES = "entries/"
HINTS = "hints/"
LEASES = "leases/"
MIRROR = "mirror/"
PULLS = "pulls/"
PULLS_SINCE = "pulls/since"
REPOS = "repos/"
RETIRED = "retired/"
REFERRERS = "referrers/"
TAGGED = "tagged/"
TAGS = "tags/"
UPLOADS = "uploads/"
NO_DATA = "0"
"""In a lease's key: the lease's value holds all bytes itself."""
_LONGEST_TIME = 14
"""Digits of a time in milliseconds."""


def new_id() -> str:
    """Return 128 random bits in hexadecimal: the id of a data object, a lease or an upload."""
    return secrets.token_hex(16)


def data(data_id: str) -> str:
    """Name the bytes of one large blob."""
    return f"{DATA}{data_id}"


def retired(data_id: str, listed_at_s: int) -> str:
    """Name the note that a listing of all leases, begun at that time (Unix time), found no lease of a data object."""
    return f"{RETIRED}{data_id}-{listed_at_s}"


def retired_data(key: str) -> tuple[str, int] | None:
    """Read the key of such a note; `None` if it is not one."""
    data_id, dash, listed_at = key.removeprefix(RETIRED).partition("-")
    return (data_id, int(listed_at)) if dash and data_id and listed_at.isascii() and listed_at.isdigit() else None


def hints(digest: Digest) -> str:
    """Name the prefix of the hints that say where some repository has this digest already."""
    return f"{HINTS}{digest.algorithm}/{digest.hex}/"


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint. Its key says everything, so a listing is enough."""

    data_id: str
    size_bytes: int

    def key(self, digest: Digest) -> str:
        """Name it."""
        return f"{hints(digest)}{self.data_id}-{self.size_bytes}"

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Read a hint's key; `None` if it is not one."""
        data_id, dash, size = key.rpartition("/")[2].partition("-")
        return cls(data_id, int(size)) if dash and data_id and size.isascii() and size.isdigit() else None


def entry(repo: RepositoryName, kind: Kind, digest: Digest) -> str:
    """Name the object that answers a read of one record."""
    return f"{ENTRIES}{repo}!/{kind}/{digest.algorithm}/{digest.hex}"


def siblings(repo: RepositoryName) -> str:
    """Name the prefix of the entries of all repositories that have the parent of `repo`."""
    parent, slash, _ = repo.text.rpartition("/")
    return f"{ENTRIES}{parent}{slash}"


def repository_below(root: str, directory: str) -> RepositoryName | None:
    """Read a repository's name from its directory below a root such as `ENTRIES`; `None` if it only leads to others."""
    name = directory.removeprefix(root).removesuffix("/")
    return RepositoryName.parse(name[:-1]) if name.endswith("!") else None


def all_of(root: str, repo: RepositoryName) -> str:
    """Name the prefix of everything that one repository has below a root such as `ENTRIES`."""
    return f"{root}{repo}!/"


def record_of(key: str) -> tuple[Kind, Digest]:
    """Read kind and digest from the key of an entry or a lease. Raises `DigestInvalid`."""
    kind, algorithm, hexadecimal = _names_below_repository(key, 3, 4)[:3]
    return "blobs" if kind == "blobs" else "manifests", _digest_in(key, f"{algorithm}:{hexadecimal}")


def marked_by(key: str) -> tuple[Digest, Tag]:
    """Read manifest and tag from a marker's key. Raises `DigestInvalid`, `TagInvalid`."""
    algorithm, hexadecimal, tag_name = _names_below_repository(key, 3)
    return _digest_in(key, f"{algorithm}:{hexadecimal}"), Tag.parse(tag_name)


def _names_below_repository(key: str, *lengths: int) -> list[str]:
    """Return what follows the repository in a key. Raises `DigestInvalid` if it does not have that many names."""
    names = key.partition("!/")[2].split("/")
    if len(names) not in lengths:
        raise _foreign(key)
    return names


def _digest_in(key: str, text: str) -> Digest:
    """Read a digest from a part of a key. Raises `DigestInvalid`, which names the whole key."""
    try:
        return Digest.parse(text)
    except DigestInvalid:
        raise _foreign(key) from None


def _foreign(key: str) -> DigestInvalid:
    return DigestInvalid(f"{key} {NOT_OURS}")


def referring(key: str) -> Digest:
    """Read from a referrer's key which manifest refers. Raises `DigestInvalid`."""
    return _digest_in(key, key.rpartition("/")[2].replace(".", ":", 1))


def leases(repo: RepositoryName, kind: Kind, digest: Digest) -> str:
    """Name the prefix of all leases of one record."""
    return f"{LEASES}{repo}!/{kind}/{digest.algorithm}/{digest.hex}/"


def lease(repo: RepositoryName, kind: Kind, digest: Digest, lease_id: str, data_id: str | None) -> str:
    """Name one lease. The key says which data it keeps, so the collector need not read the lease."""
    return f"{leases(repo, kind, digest)}{lease_id}-{data_id or NO_DATA}"


def new_lease_id(until: datetime | None) -> str:
    """Return the id of a lease that must be written by that time; `None`: at any time."""
    return new_id() if until is None else f"{new_id()}.{int(until.timestamp() * 1000)}"


def lease_until(lease_key: str) -> datetime | None:
    """Read from a lease's key by when it had to be written; `None`: at any time."""
    milliseconds = lease_key.rpartition("/")[2].partition("-")[0].partition(".")[2]
    if not milliseconds.isascii() or not milliseconds.isdigit() or len(milliseconds) > _LONGEST_TIME:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def without_until(lease_key: str) -> str:
    """Return the key of the same lease without a time by which it must be written."""
    directory, slash, name = lease_key.rpartition("/")
    lease_id, dash, data_id = name.partition("-")
    return f"{directory}{slash}{lease_id.partition('.')[0]}{dash}{data_id}"


def data_of(lease_key: str) -> str | None:
    """Read from a lease's key which data it keeps; `None`: none."""
    data_id = lease_key.rpartition("/")[2].partition("-")[2]
    return None if data_id in {"", NO_DATA} else data_id


def tags(repo: RepositoryName) -> str:
    """Name the prefix of all tags of a repository."""
    return f"{TAGS}{repo}!/"


def tag(repo: RepositoryName, name: Tag) -> str:
    """Name one tag."""
    return f"{tags(repo)}{name}"


def tagged(repo: RepositoryName, digest: Digest) -> str:
    """Name the prefix of the markers of all tags that name, or once named, one manifest."""
    return f"{TAGGED}{repo}!/{digest.algorithm}/{digest.hex}/"


def referrers(repo: RepositoryName, subject: Digest) -> str:
    """Name the prefix of all referrers of one subject."""
    return f"{REFERRERS}{repo}!/{subject.algorithm}/{subject.hex}/"


def referrer(repo: RepositoryName, subject: Digest, digest: Digest) -> str:
    """Name the descriptor of one referrer."""
    return f"{referrers(repo, subject)}{digest.algorithm}.{digest.hex}"


def repository(repo: RepositoryName) -> str:
    """Name the catalog marker of one repository."""
    return f"{REPOS}{repo.text.replace('/', '!')}"


def repository_of(key: str) -> RepositoryName:
    """Read the name back from a catalog marker's key."""
    return RepositoryName.parse(key.removeprefix(REPOS).replace("!", "/"))


def pulls(pulls_id: str) -> str:
    """Name one object that says when manifests were pulled."""
    return f"{PULLS}{pulls_id}"


def upload(repo: RepositoryName, upload_id: str) -> str:
    """Name the state of one upload."""
    return f"{UPLOADS}{repo}!/{upload_id}"


def signing_key(key_id: str) -> str:
    """Name one key that signs upload tokens."""
    return f"{SIGNING_KEYS}{key_id}"


def api_keys(owner_code: str) -> str:
    """Name the prefix of all API keys of the owners with this code."""
    return f"{API_KEYS}{owner_code}/"


def api_key(owner_code: str, key_id: str) -> str:
    """Name what is known of one API key."""
    return f"{api_keys(owner_code)}{key_id}"


def api_key_uses(owner_code: str) -> str:
    """Name the prefix of the uses of these API keys."""
    return f"{API_KEY_USES}{owner_code}/"


def api_key_use(owner_code: str, key_id: str) -> str:
    """Name what says when one API key was last used."""
    return f"{api_key_uses(owner_code)}{key_id}"


def mirror_check(repo: RepositoryName, name: Tag) -> str:
    """Name the note of what the upstream of a mirrored repository said about a tag."""
    return f"{MIRROR}checks/{repo}!/{name}"


def mirror_referrers(repo: RepositoryName, subject: Digest) -> str:
    """Name the note that the upstream of a mirrored repository was asked for the referrers of a manifest."""
    return f"{MIRROR}referrers/{repo}!/{subject.algorithm}/{subject.hex}"


def mirror_copy(digest: Digest, source: str) -> str:
    """Name what says that a replica copies a blob; `source` stands for the upstreams that it may come from."""
    return f"{MIRROR}copies/{digest.algorithm}/{digest.hex}/{source}"


def mirror_run(content: Digest) -> str:
    """Name the note that `zotpy sync` has copied a registry; the digest is that of what it was to copy."""
    return f"{MIRROR}runs/{content.hex}"


def token_key(number: int) -> str:
    """Name one key that signs the tokens of callers."""
    return f"{TOKEN_KEYS}{number}"


def token_key_number(key: str) -> int | None:
    """Read the number of such a key; `None` if it is not one."""
    number = key.removeprefix(TOKEN_KEYS)
    return int(number) if number.isascii() and number.isdigit() and len(number) <= _LONGEST_TIME else None
