import json
from typing import Any

import pytest

from tests.unit.core.documents import CONFIG, CONFIG_TYPE, LAYER, ONE, SUBJECT, TWO, descriptor, image, index, parsed
from zotpy.core.digests import Digest
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.media_types import DOCKER_IMAGE, DOCKER_LIST, IMAGES, OCI_IMAGE, OCI_INDEX


@pytest.mark.parametrize("media_type", sorted(IMAGES))
def test_an_image_references_its_config_and_its_layers(media_type: str) -> None:
    """OCI images and those of Docker schema 2 are checked alike."""
    facts = parsed(image(), media_type)
    assert facts.media_type == media_type
    assert facts.blobs == (CONFIG, ONE, TWO)
    assert facts.manifests == ()
    assert facts.subject is None


@pytest.mark.parametrize(("media_type", "child"), [(OCI_INDEX, OCI_IMAGE), (DOCKER_LIST, DOCKER_IMAGE)])
def test_an_index_references_its_children(media_type: str, child: str) -> None:
    """What an index lists are manifests, images and further indexes alike."""
    facts = parsed(index(descriptor(ONE, child), descriptor(TWO, media_type)), media_type)
    assert facts.manifests == (ONE, TWO)
    assert facts.blobs == ()


def test_an_index_may_also_list_blobs() -> None:
    """A child whose media type is that of no manifest is a blob, as build caches write them."""
    facts = parsed(index(descriptor(ONE, LAYER), descriptor(TWO, OCI_IMAGE)), OCI_INDEX)
    assert (facts.blobs, facts.manifests) == ((ONE,), (TWO,))


def test_a_child_without_a_media_type_is_a_manifest() -> None:
    """Without a word to the contrary an index lists manifests."""
    assert parsed(index({"digest": str(ONE), "size": 1}), OCI_INDEX).manifests == (ONE,)


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        (LAYER, "blobs"),
        ("application/json", "blobs"),
        ("application/vnd.cncf.manifest-config+json", "manifests"),
        ("application/vnd.example.index", "manifests"),
        (None, "manifests"),
        (7, "manifests"),
    ],
)
def test_a_child_of_an_unfamiliar_type_may_be_either(media_type: object, kind: str) -> None:
    """An unknown media type is no error (image spec): it makes the one or the other likely, and excludes neither."""
    facts = parsed(index({"mediaType": media_type, "digest": str(ONE), "size": 1}), OCI_INDEX)
    assert facts.guessed == {ONE}
    assert getattr(facts, kind) == (ONE,)
    assert not {*facts.blobs, *facts.manifests} - {ONE}


def test_what_one_descriptor_says_for_certain_no_other_makes_doubtful() -> None:
    """A manifest that is listed a second time, by an unfamiliar type, is a manifest; so is a layer a blob."""
    unsure = [descriptor(ONE, "application/json"), descriptor(TWO, "x/manifest")]
    facts = parsed(index(*unsure, descriptor(ONE, OCI_IMAGE), blobs=[descriptor(TWO)]), OCI_INDEX)
    assert (facts.blobs, facts.manifests, facts.guessed) == ((TWO,), (ONE,), frozenset())


def test_an_empty_index_and_an_image_without_layers_are_good() -> None:
    """Lists may be empty, and the layers may be null, as some clients write an empty list."""
    assert parsed(index(), OCI_INDEX).manifests == ()
    assert parsed(image(layers=[])).blobs == parsed(image(layers=None)).blobs == (CONFIG,)


def test_what_is_named_twice_is_checked_once() -> None:
    """Many images repeat the empty layer."""
    assert parsed(image(layers=[descriptor(ONE)] * 50)).blobs == (CONFIG, ONE)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_layers_that_are_not_distributed_need_not_be_here(media_type: str) -> None:
    """Their bytes come from elsewhere. If they are here all the same, copies of the image have them as well."""
    facts = parsed(image(layers=[descriptor(ONE, media_type), descriptor(TWO)]))
    assert (facts.blobs, facts.foreign) == ((CONFIG, TWO), (ONE,))
    assert parsed(image(layers=[{"mediaType": media_type, "digest": "no digest"}])).foreign == ()


def test_a_manifest_names_its_subject() -> None:
    """The subject need not exist, so it is not among what is checked."""
    facts = parsed(image(subject=descriptor(SUBJECT, OCI_IMAGE)))
    assert facts.subject == SUBJECT
    assert SUBJECT not in facts.blobs + facts.manifests


def test_digests_of_both_algorithms_are_references() -> None:
    """An image may mix them."""
    long = Digest.of(b"1", "sha512")
    assert parsed(image(layers=[descriptor(long)])).blobs == (CONFIG, long)


@pytest.mark.parametrize(
    ("fields", "artifact_type"),
    [
        ({}, CONFIG_TYPE),
        ({"artifactType": "a/b"}, "a/b"),
        ({"artifactType": ""}, CONFIG_TYPE),
        ({"artifactType": None}, CONFIG_TYPE),
        ({"artifactType": 1}, ""),
    ],
)
def test_the_artifact_type_is_the_manifests_or_that_of_its_config(fields: dict[str, Any], artifact_type: str) -> None:
    """The referrers API filters by it (end-12b)."""
    assert parsed(image(**fields)).artifact_type == artifact_type


def test_the_descriptor_of_a_referrer_has_its_type_and_its_annotations() -> None:
    """It is what the referrers API lists."""
    facts = parsed(image(artifactType="a/b", annotations={"key": "value"}))
    assert facts.descriptor(ONE, 7) == {
        "mediaType": OCI_IMAGE,
        "digest": str(ONE),
        "size": 7,
        "artifactType": "a/b",
        "annotations": {"key": "value"},
    }


def test_a_descriptor_leaves_out_what_the_manifest_has_not() -> None:
    """An index without artifact type and annotations is described by three fields."""
    assert parsed(index(), OCI_INDEX).descriptor(ONE, 7).keys() == {"mediaType", "digest", "size"}


@pytest.mark.parametrize(
    ("declared", "sent", "media_type"),
    [
        (None, OCI_IMAGE, OCI_IMAGE),
        (OCI_IMAGE, None, OCI_IMAGE),
        (OCI_IMAGE, "", OCI_IMAGE),
        (OCI_IMAGE, OCI_IMAGE, OCI_IMAGE),
        (OCI_IMAGE, f"{OCI_IMAGE}; charset=utf-8", OCI_IMAGE),
        ("", DOCKER_IMAGE, DOCKER_IMAGE),
    ],
)
def test_the_media_type_is_that_of_the_request_or_of_the_manifest(
    declared: str | None, sent: str | None, media_type: str
) -> None:
    """One of them is enough; parameters do not count."""
    assert parsed(image(mediaType=declared), sent).media_type == media_type


def test_an_unknown_type_is_accepted_and_its_references_are_found() -> None:
    """What looks like a descriptor in the usual places is checked, and not collected as garbage."""
    document = {
        "config": descriptor(CONFIG),
        "blobs": [descriptor(ONE), "not a descriptor"],
        "manifests": [descriptor(TWO, OCI_IMAGE)],
        "subject": descriptor(SUBJECT),
    }
    facts = parsed(document, "application/vnd.example.thing.v1+json")
    assert (facts.blobs, facts.manifests, facts.subject) == ((CONFIG, ONE), (TWO,), SUBJECT)


@pytest.mark.parametrize("document", [{}, {"layers": 1}, {"config": "x"}, {"manifests": {}}, {"schemaVersion": 7}])
def test_an_unknown_type_may_use_the_usual_names_in_its_own_way(document: dict[str, Any]) -> None:
    """What is no descriptor is passed over."""
    assert parsed(document, "application/vnd.example.thing.v1+json").blobs == ()


def test_an_index_takes_no_artifact_type_from_a_config() -> None:
    """What an index calls config says nothing of its type."""
    document = {"schemaVersion": 2, "manifests": [], "config": {"mediaType": "a/b", "digest": f"sha256:{'0' * 64}"}}
    assert parse_manifest(json.dumps(document).encode(), OCI_INDEX).artifact_type == ""
