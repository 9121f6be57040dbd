from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag

# Few letters, so that names that begin alike, and kinds of keys that look alike, come often.
COMPONENTS = st.from_regex(r"\A(?:[ab]|blobs|sha256)(?:[.\-_](?:[ab]|manifests))?\Z")
REPOS = st.lists(COMPONENTS, min_size=1, max_size=3).map(lambda parts: RepositoryName.parse("/".join(parts)))
TAGS = st.sampled_from(["a", "b", "sha256", "manifests", "_", "a.b", "A"]).map(Tag.parse)
DIGESTS = st.sampled_from([Digest.of(b"1"), Digest.of(b"2"), Digest.of(b"1", "sha512")])
KINDS: st.SearchStrategy[keys.Kind] = st.sampled_from(["blobs", "manifests"])
IDS = st.sampled_from(["0" * 32, "1" * 32])


def named(function: Callable[..., str], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[str, object]]:
    """Draw a key together with what it is the key of."""
    return st.tuples(*arguments).map(lambda drawn: (function(*drawn), (function.__name__, drawn)))


def lease(repo: RepositoryName, kind: keys.Kind, digest: Digest, lease_id: str) -> str:
    """Name one lease of a record without data."""
    return keys.lease(repo, kind, digest, lease_id, None)


def hint(digest: Digest, data_id: str) -> str:
    """Name one hint."""
    return keys.Hint(data_id, 5).key(digest)


def marker(repo: RepositoryName, digest: Digest, tag: Tag) -> str:
    """Name the marker of one tag of one manifest."""
    return f"{keys.tagged(repo, digest)}{tag}"


def layout() -> str:
    """Name the layout's version."""
    return keys.LAYOUT


KEYS = st.one_of(
    named(keys.data, IDS),
    named(keys.retired, IDS, st.integers(0, 2**40)),
    named(hint, DIGESTS, IDS),
    named(keys.entry, REPOS, KINDS, DIGESTS),
    named(lease, REPOS, KINDS, DIGESTS, IDS),
    named(keys.tag, REPOS, TAGS),
    named(marker, REPOS, DIGESTS, TAGS),
    named(keys.referrer, REPOS, DIGESTS, DIGESTS),
    named(keys.repository, REPOS),
    named(keys.upload, REPOS, IDS),
    named(keys.signing_key, IDS),
    named(layout),
)


@given(KEYS, KEYS)
def test_different_things_have_different_keys(first: tuple[str, object], second: tuple[str, object]) -> None:
    """No two objects of the bucket share a key, whatever their repositories, tags and digests are called."""
    assert (first[0] == second[0]) == (first[1] == second[1])


@given(KEYS, KEYS)
def test_no_key_is_the_directory_of_another(first: tuple[str, object], second: tuple[str, object]) -> None:
    """Stores that keep objects as files can hold all of them."""
    assert not second[0].startswith(f"{first[0]}/")


@given(KEYS)
def test_keys_are_plain_relative_paths(drawn: tuple[str, object]) -> None:
    """No key begins or ends with a slash, or holds an empty or a dotted step."""
    steps = drawn[0].split("/")
    assert not {"", ".", ".."} & set(steps)
    assert drawn[0].isascii()


def test_the_longest_keys_leave_room_for_a_prefix() -> None:
    """S3 allows 1,024 bytes; the longest name, the longer digests and the longest tag stay far below."""
    repo, digest = RepositoryName.parse("a" * 127 + "/" + "b" * 127), Digest.of(b"", "sha512")
    longest = [
        keys.referrer(repo, digest, digest),
        lease(repo, "manifests", digest, keys.new_id()),
        marker(repo, digest, Tag.parse("a" * 128)),
        keys.repository(repo),
    ]
    assert max(map(len, longest)) < 600


PREFIXES: list[tuple[Callable[[RepositoryName], str], Callable[[RepositoryName], str]]] = [
    (keys.tags, lambda repo: keys.tag(repo, Tag("a"))),
    (lambda repo: keys.leases(repo, "blobs", Digest.of(b"")), lambda repo: lease(repo, "blobs", Digest.of(b""), "id")),
    (lambda repo: keys.tagged(repo, Digest.of(b"")), lambda repo: marker(repo, Digest.of(b""), Tag("a"))),
    (
        lambda repo: keys.referrers(repo, Digest.of(b"")),
        lambda repo: keys.referrer(repo, Digest.of(b""), Digest.of(b"1")),
    ),
]


@pytest.mark.parametrize(("prefix", "key"), PREFIXES, ids=["tags", "leases", "tagged", "referrers"])
@given(REPOS, REPOS)
def test_a_listing_of_one_repository_never_strays_into_another(
    prefix: Callable[[RepositoryName], str],
    key: Callable[[RepositoryName], str],
    one: RepositoryName,
    two: RepositoryName,
) -> None:
    """`a`, `a/b`, `a-b` and `ab` are four repositories to every prefix."""
    assert key(two).startswith(prefix(one)) == (one == two)


@given(REPOS)
def test_a_catalog_marker_is_flat_and_leads_back_to_the_name(repo: RepositoryName) -> None:
    """The catalog is one directory, whatever the depth of the names."""
    key = keys.repository(repo)
    assert key.count("/") == 1
    assert keys.repository_of(key) == repo


@given(REPOS, REPOS)
def test_the_catalog_lists_in_the_order_of_names_up_to_their_separators(
    one: RepositoryName, two: RepositoryName
) -> None:
    """Within one directory stores list by the bytes of names; `!` sorts before every character of a name."""
    assume(one != two)
    in_order = one.text.replace("/", "\0") < two.text.replace("/", "\0")
    assert (keys.repository(one) < keys.repository(two)) == in_order


@given(REPOS, KINDS, DIGESTS)
def test_the_siblings_of_a_repository_are_found_by_one_listing(
    repo: RepositoryName, kind: keys.Kind, digest: Digest
) -> None:
    """The directory of a repository's entries, cut after the next slash, names the repository."""
    prefix, key = keys.siblings(repo), keys.entry(repo, kind, digest)
    assert key.startswith(prefix)
    directory = prefix + key.removeprefix(prefix).partition("/")[0] + "/"
    assert keys.repository_below(keys.ENTRIES, directory) == repo


def test_a_directory_that_only_leads_to_others_is_no_repository() -> None:
    """`a/b` makes the directory `a`, but no repository of that name."""
    assert keys.repository_below(keys.ENTRIES, "entries/a/") is None


@given(REPOS, DIGESTS, st.none() | IDS)
def test_a_lease_tells_by_its_key_which_data_it_keeps(
    repo: RepositoryName, digest: Digest, data_id: str | None
) -> None:
    """The collector learns from a listing alone what is named."""
    assert keys.data_of(keys.lease(repo, "blobs", digest, keys.new_id(), data_id)) == data_id


@given(DIGESTS, IDS, st.integers(0, 2**50))
def test_a_hint_tells_by_its_key_all_it_knows(digest: Digest, data_id: str, size_bytes: int) -> None:
    """A listing finds the data of a digest, and its length."""
    hint = keys.Hint(data_id, size_bytes)
    assert keys.Hint.parse(hint.key(digest)) == hint


@pytest.mark.parametrize("name", ["", "a", "a-", "-1", "a-x", "a--1", "a-1.0"])
def test_what_is_no_hint_is_passed_over(name: str) -> None:
    """An object that somebody else put there leads nobody to data."""
    assert keys.Hint.parse(f"{keys.HINTS}sha256/{'0' * 64}/{name}") is None


def test_ids_are_random_and_fit_a_key() -> None:
    """128 bits, so that no two replicas ever choose the same."""
    ids = {keys.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(new_id) for new_id in ids} == {32}
