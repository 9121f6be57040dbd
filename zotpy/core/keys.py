"""The bucket, and the only functions that build or read its keys.

`!` ends a repository name (names cannot hold it), so keys are unambiguous, no key is the prefix of another object's
directory, and a listing below one repository never strays into another.

    <prefix>/
    ├── data/<id>                              bytes of one large blob; random id; written once, never changed
    ├── digests/<alg>/<hex>                    hint for dedupe across repositories: data id, size
    ├── entries/<repo>!/blobs/<alg>/<hex>      the blob's bytes where small, else data id and size
    ├── entries/<repo>!/manifests/<alg>/<hex>  the manifest's bytes, byte-exact, with its media type
    ├── leases/<repo>!/<kind>/<alg>/<hex>/<id> the same value; the authority
    ├── tags/<repo>!/<tag>                     manifest bytes, media type, digest: a pull by tag is one GET
    ├── tagged/<repo>!/<alg>/<hex>/<tag>       which tags name a manifest
    ├── referrers/<repo>!/<alg>/<subject>/<alg>.<hex>   descriptor of one referrer
    ├── repos/<repo, '/' written as '!'>       catalog marker; flat, because some stores list directory by directory
    ├── uploads/<repo>!/<upload id>            state of one upload, and its tail shorter than a part
    ├── retired/<id>                           data about to be deleted
    └── meta/layout, meta/keys/<id>            layout version; the keys that sign upload tokens

The prefix is the store's affair: no key here carries it.
"""

import secrets
from typing import Literal

from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag

Kind = Literal["blobs", "manifests"]

LAYOUT = "meta/layout"
SIGNING_KEYS = "meta/keys/"
DATA = "data/"
LEASES = "leases/"
REPOS = "repos/"
RETIRED = "retired/"
UPLOADS = "uploads/"


def new_id() -> str:
    """Return 128 random bits in hexadecimal: the id of a data object, a lease or an upload."""
    return secrets.token_hex(16)


def data(data_id: str) -> str:
    """Name the bytes of one large blob."""
    return f"{DATA}{data_id}"


def retired(data_id: str) -> str:
    """Name the note that one data object is about to be deleted."""
    return f"{RETIRED}{data_id}"


def digest_hint(digest: Digest) -> str:
    """Name the hint at where some repository keeps this digest already."""
    return f"digests/{digest.algorithm}/{digest.hex}"


def entry(repo: RepositoryName, kind: Kind, digest: Digest) -> str:
    """Name the object that answers a read of one record."""
    return f"entries/{repo}!/{kind}/{digest.algorithm}/{digest.hex}"


def siblings(repo: RepositoryName) -> str:
    """Name the prefix of the entries of all repositories that have the parent of `repo`."""
    parent, slash, _ = repo.text.rpartition("/")
    return f"entries/{parent}{slash}"


def sibling_of(directory: str) -> RepositoryName | None:
    """Read the name of a repository from the directory of its entries; `None` for one that only leads to others."""
    name = directory.removeprefix("entries/").removesuffix("/")
    return RepositoryName.parse(name[:-1]) if name.endswith("!") else None


def leases(repo: RepositoryName, kind: Kind, digest: Digest) -> str:
    """Name the prefix of all leases of one record."""
    return f"{LEASES}{repo}!/{kind}/{digest.algorithm}/{digest.hex}/"


def tags(repo: RepositoryName) -> str:
    """Name the prefix of all tags of a repository."""
    return f"tags/{repo}!/"


def tag(repo: RepositoryName, name: Tag) -> str:
    """Name one tag."""
    return f"{tags(repo)}{name}"


def tagged(repo: RepositoryName, digest: Digest) -> str:
    """Name the prefix of the markers of all tags that name, or once named, one manifest."""
    return f"tagged/{repo}!/{digest.algorithm}/{digest.hex}/"


def referrers(repo: RepositoryName, subject: Digest) -> str:
    """Name the prefix of all referrers of one subject."""
    return f"referrers/{repo}!/{subject.algorithm}/{subject.hex}/"


def referrer(repo: RepositoryName, subject: Digest, digest: Digest) -> str:
    """Name the descriptor of one referrer."""
    return f"{referrers(repo, subject)}{digest.algorithm}.{digest.hex}"


def repository(repo: RepositoryName) -> str:
    """Name the catalog marker of one repository."""
    return f"{REPOS}{repo.text.replace('/', '!')}"


def repository_of(key: str) -> RepositoryName:
    """Read the name back from a catalog marker's key."""
    return RepositoryName.parse(key.removeprefix(REPOS).replace("!", "/"))


def upload(repo: RepositoryName, upload_id: str) -> str:
    """Name the state of one upload."""
    return f"{UPLOADS}{repo}!/{upload_id}"


def signing_key(key_id: str) -> str:
    """Name one key that signs upload tokens."""
    return f"{SIGNING_KEYS}{key_id}"
