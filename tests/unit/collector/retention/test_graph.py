"""Which manifests go, by table: who keeps whom, and in which order what is left over goes."""

from __future__ import annotations

import re

import pytest

from zotpy.collector.retention.graph import Graph, ManifestSeen, Node, ReferrerTag
from zotpy.core.digests import Digest
from zotpy.core.names import Tag
from zotpy.settings import PolicySettings

IMAGE, OTHER, INDEX, OUTER, SIGNATURE, OF_SIGNATURE, GONE = (
    Digest.of(name) for name in (b"image", b"other", b"index", b"outer", b"signature", b"of signature", b"gone")
)
MANIFESTS = {
    IMAGE: ManifestSeen(is_old=True),
    OTHER: ManifestSeen(is_old=True),
    INDEX: ManifestSeen(is_old=True, mentions=frozenset({IMAGE, GONE})),
    OUTER: ManifestSeen(is_old=True, mentions=frozenset({INDEX})),
    SIGNATURE: ManifestSeen(is_old=True, subject=IMAGE),
    OF_SIGNATURE: ManifestSeen(is_old=True, subject=SIGNATURE),
}
"""An index in an index, with an image that is signed, and a referrer of the signature; and another image."""
ALL = (re.compile(""),)
BOTH = PolicySettings(ALL, delete_referrers=True)


def going(graph: Graph, policy: PolicySettings, *tagged: Digest) -> list[Node]:
    """Return what goes where these have tags."""
    return list(graph.going(graph.staying(policy, tagged)))


@pytest.mark.parametrize(
    ("policy", "tagged", "goes"),
    [
        (BOTH, [], {IMAGE, OTHER, INDEX, OUTER, SIGNATURE, OF_SIGNATURE}),
        (BOTH, [OUTER], {OTHER}),
        (BOTH, [INDEX], {OTHER, OUTER}),
        (BOTH, [IMAGE], {OTHER, OUTER, INDEX}),
        (BOTH, [OTHER], {IMAGE, INDEX, OUTER, SIGNATURE, OF_SIGNATURE}),
        (BOTH, [SIGNATURE], {IMAGE, OTHER, INDEX, OUTER}),
        (PolicySettings(ALL), [], {IMAGE, OTHER, INDEX, OUTER}),
        (PolicySettings(ALL, delete_untagged=False), [], set()),
        (PolicySettings(ALL, delete_untagged=False, delete_referrers=True), [], set()),
        (BOTH, [GONE], {IMAGE, OTHER, INDEX, OUTER, SIGNATURE, OF_SIGNATURE}),
    ],
)
def test_what_stays_keeps_what_it_mentions_and_its_referrers(
    policy: PolicySettings, tagged: list[Digest], goes: set[Digest]
) -> None:
    """Nothing else stays, if the policy takes its kind."""
    assert set(going(Graph.of(MANIFESTS), policy, *tagged)) == goes


def test_a_young_manifest_stays_with_all_that_it_keeps() -> None:
    """It may be about to be tagged."""
    manifests = MANIFESTS | {INDEX: ManifestSeen(is_old=False, mentions=frozenset({IMAGE}))}
    assert set(going(Graph.of(manifests), BOTH)) == {OTHER, OUTER}


def test_referrers_of_what_is_gone_go_where_the_policy_says_so() -> None:
    """They are deleted by this rule alone, whatever the policy says of untagged manifests."""
    manifests = {SIGNATURE: ManifestSeen(is_old=True, subject=GONE), OTHER: ManifestSeen(is_old=True)}
    graph = Graph.of(manifests)
    assert going(graph, PolicySettings(ALL, delete_untagged=False, delete_referrers=True)) == [SIGNATURE]
    assert going(graph, PolicySettings(ALL, delete_untagged=False)) == []
    assert graph.reason(SIGNATURE) == f"its subject {GONE} does not exist"
    assert Graph.of(MANIFESTS).reason(SIGNATURE) == f"its subject {IMAGE} is deleted"


def test_each_goes_before_what_it_would_keep() -> None:
    """A collection that breaks off at any place has taken nothing from what is still there."""
    order = going(Graph.of(MANIFESTS), BOTH)
    for first, then in [(OUTER, INDEX), (INDEX, IMAGE), (IMAGE, SIGNATURE), (SIGNATURE, OF_SIGNATURE)]:
        assert order.index(first) < order.index(then)


def test_an_index_that_lists_its_own_subject_has_its_order() -> None:
    """The index goes first: it is what would be broken."""
    manifests = {
        IMAGE: ManifestSeen(is_old=True),
        INDEX: ManifestSeen(is_old=True, mentions=frozenset({IMAGE}), subject=IMAGE),
    }
    assert going(Graph.of(manifests), BOTH) == [INDEX, IMAGE]


@pytest.mark.parametrize(
    ("policy", "is_old", "tagged", "goes"),
    [
        (BOTH, True, [IMAGE], []),
        (BOTH, True, [], [IMAGE, Tag("sig"), OTHER]),
        (BOTH, False, [], [IMAGE]),
        (PolicySettings(ALL), True, [], [IMAGE]),
    ],
)
def test_a_tag_of_a_referrer_lives_as_long_as_its_subject(
    policy: PolicySettings,
    is_old: bool,  # noqa: FBT001 - a parameter of the table
    tagged: list[Digest],
    goes: list[Node],
) -> None:
    """The tag also keeps what it names."""
    manifests = {IMAGE: ManifestSeen(is_old=True), OTHER: ManifestSeen(is_old=True)}
    graph = Graph.of(manifests, [ReferrerTag(Tag("sig"), OTHER, IMAGE, is_old)])
    assert going(graph, policy, *tagged) == goes
