import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.documents import CONFIG, ONE, descriptor, image, index, parsed
from zotpy.core.errors import ManifestInvalid
from zotpy.core.manifest_facts import parse_pushed
from zotpy.core.media_types import IMAGES, INDEXES, OCI_IMAGE, OCI_INDEX
from zotpy.settings import Settings


def refusal(document: object, content_type: str | None = OCI_IMAGE) -> str:
    """Push a document that is refused, and return what the client is told."""
    with pytest.raises(ManifestInvalid) as caught:
        parsed(document, content_type)
    return caught.value.message


@pytest.mark.parametrize("sent", [None, "", ";", "nonsense", "a/b/c", "a b/c", "ä/ö", "/", "a/"])
def test_a_manifest_without_a_media_type_is_told_to_set_one(sent: str | None) -> None:
    """Nothing is guessed from the content."""
    assert "set Content-Type" in refusal(image(), sent)


def test_a_manifest_that_contradicts_its_request_is_refused_in_few_words() -> None:
    """Both types are named, and an endless one does not come back whole."""
    assert OCI_INDEX in refusal(image(mediaType=OCI_INDEX))
    assert len(refusal(image(mediaType="a/" + "b" * 2**20))) < 1000


@pytest.mark.parametrize("declared", [1, [], {}, True])
def test_a_media_type_that_is_no_string_is_refused(declared: object) -> None:
    """A field of another kind is the client's mistake."""
    refusal(image(mediaType=declared))


@pytest.mark.parametrize("suffix", ["json", "prettyjws"])
def test_docker_schema_1_is_refused_by_its_media_type(suffix: str) -> None:
    """The client is told what to push instead."""
    assert "schema 1" in refusal({}, f"application/vnd.docker.distribution.manifest.v1+{suffix}")


def test_docker_schema_1_is_refused_by_its_version() -> None:
    """Old clients send it as plain JSON."""
    assert "schema 1" in refusal({"schemaVersion": 1, "fsLayers": []}, "application/json")


@pytest.mark.parametrize("media_type", sorted(IMAGES | INDEXES))
@pytest.mark.parametrize("version", [None, "2", 3, 0])
def test_known_types_need_schema_version_2(media_type: str, version: object) -> None:
    """The spec asks for it in every manifest."""
    assert "schemaVersion" in refusal({"schemaVersion": version}, media_type)


@pytest.mark.parametrize(
    "fields",
    [
        {"config": None},
        {"config": []},
        {"config": {}},
        {"config": {"digest": 1, "size": 1}},
        {"config": {"digest": "sha256:short", "size": 1}},
        {"layers": "none"},
        {"layers": {}},
        {"layers": [None]},
        {"layers": [{"size": 1}]},
        {"layers": [{"digest": "md5:d41d8cd98f00b204e9800998ecf8427e", "size": 1}]},
        {"layers": [descriptor(ONE) | {"size": -1}]},
        {"layers": [descriptor(ONE) | {"size": "3"}]},
        {"layers": [descriptor(ONE) | {"size": True}]},
        {"layers": [descriptor(ONE) | {"size": 1.5}]},
        {"subject": {}},
        {"subject": "sha256:short"},
        {"subject": []},
        {"subject": {"digest": "latest"}},
    ],
)
def test_an_image_with_a_malformed_reference_is_refused(fields: dict[str, Any]) -> None:
    """The client is told which field to mend."""
    assert next(iter(fields)) in refusal(image(**fields))


@pytest.mark.parametrize("field", ["config", "layers"])
def test_an_image_needs_a_config_and_layers(field: str) -> None:
    """Neither may be left out."""
    document = image()
    del document[field]
    assert field in refusal(document)


@pytest.mark.parametrize("children", [{}, "none", [1], [{}], [{"digest": "latest"}]])
def test_an_index_with_malformed_children_is_refused(children: object) -> None:
    """The client is told which field to mend."""
    assert "manifests" in refusal(index(manifests=children), OCI_INDEX)


def test_an_index_needs_manifests() -> None:
    """A document without them is no index."""
    assert "manifests" in refusal({"schemaVersion": 2}, OCI_INDEX)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"[]", b'"x"', b"1", b"{}{}", b"not json"])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    """Every manifest is one, of whatever type."""
    with pytest.raises(ManifestInvalid):
        parse_pushed(content, "application/vnd.example.thing.v1+json", Settings().manifest.limits)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"schemaVersion":' + b"9" * 10_000 + b"}"],
    ids=["deep-list", "deep-object", "long-number"],
)
def test_json_made_to_break_the_reader_is_refused(content: bytes) -> None:
    """A hostile document is the client's mistake, never a failure of the registry."""
    with pytest.raises(ManifestInvalid):
        parse_pushed(content, OCI_IMAGE, Settings().manifest.limits)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(str(ONE)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["digest", "size", "mediaType", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["mediaType", "schemaVersion", "config", "layers", "blobs", "manifests", "subject", "annotations", "artifactType"]
)


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([*sorted(IMAGES | INDEXES), "application/json", None]))
def test_no_document_crashes_the_parser(document: dict[str, Any], content_type: str | None) -> None:
    """Whatever stands in the fields, it is accepted or it is `ManifestInvalid`, and its descriptor can be written."""
    complete = {"schemaVersion": 2, "config": descriptor(CONFIG), "layers": [], "manifests": []} | document
    try:
        facts = parsed(complete, content_type)
    except ManifestInvalid:
        return
    json.dumps(facts.descriptor(ONE, 1)).encode()
