"""Pushed JSON has one meaning, and is read in bounded time."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.documents import CONFIG, ONE, descriptor, image, index, parsed
from zotpy.core.digests import Digest
from zotpy.core.documents import read_document
from zotpy.core.errors import DigestInvalid, ManifestInvalid, UploadUnknown
from zotpy.core.manifest_facts import ManifestLimits, parse_manifest, parse_pushed
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.upload_tokens import ShownToken
from zotpy.settings import Settings

LIMITS = Settings().manifest.limits
MIB = 1024 * 1024


def refusal(content: bytes, content_type: str = OCI_IMAGE, limits: ManifestLimits = LIMITS) -> str:
    """Push bytes that are refused, and return what the client is told."""
    with pytest.raises(ManifestInvalid) as caught:
        parse_pushed(content, content_type, limits)
    return caught.value.message


def with_size(number: str) -> bytes:
    """Write an image whose config has this size."""
    return json.dumps(image()).replace('"size": 3', f'"size": {number}', 1).encode()


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "latin-1"]
)
def test_a_manifest_in_another_encoding_is_told_to_use_utf_8(encoding: str) -> None:
    """Clients in Go read nothing else."""
    document = json.dumps(image(annotations={"name": "é"}), ensure_ascii=False)
    assert "UTF-8" in refusal(document.encode(encoding))


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 20, "9" * 4_000, "1." + "1" * 99]
)
def test_a_number_that_not_every_client_reads_is_refused(number: str) -> None:
    """It is named, and not the whole of it."""
    message = refusal(with_size(number))
    assert number[:4] in message or f"{len(number)} digits" in message
    assert len(message) < 300


@pytest.mark.parametrize("number", ["0", str(2**63 - 1)])
def test_a_number_of_64_bits_is_read(number: str) -> None:
    """A size may be as long as Go's int64."""
    assert parse_pushed(with_size(number), OCI_IMAGE, LIMITS).blobs[0] == CONFIG


@pytest.mark.parametrize(
    "twice",
    ['"layers": [], "layers": []', '"annotations": {"a": "1", "a": "2"}', '"x": [{"b": 1, "c": 2, "\\u0062": 3}]'],
)
def test_a_key_that_stands_twice_in_one_object_is_refused(twice: str) -> None:
    """One client would read the first value, another the last; escapes hide nothing."""
    content = json.dumps(image())[:-1].replace('"layers"', '"layers_"') + f", {twice}}}"
    assert "twice" in refusal(content.encode())


@pytest.mark.parametrize("fields", [{"manifests": []}, {"manifests": None}, {"manifests": [descriptor(ONE)]}])
def test_an_image_that_is_an_index_too_is_refused(fields: dict[str, Any]) -> None:
    """A scanner could read the one and a runtime the other (CVE-2021-41190)."""
    assert "manifests" in refusal(json.dumps(image(**fields)).encode())


@pytest.mark.parametrize("fields", [{"layers": []}, {"config": descriptor(CONFIG)}, {"config": None, "layers": None}])
def test_an_index_that_is_an_image_too_is_refused(fields: dict[str, Any]) -> None:
    """The fields that must go are named."""
    message = refusal(json.dumps(index(**fields)).encode(), OCI_INDEX)
    assert all(name in message for name in fields)


@pytest.mark.parametrize(
    "document",
    [
        image(Layers=[]),
        image(Manifests=[]),
        image(SUBJECT=None),
        image() | {"\u017fubject": None},
        image(config=descriptor(CONFIG) | {"Digest": str(ONE)}),
        image(layers=[descriptor(ONE) | {"mediatype": "a/b"}]),
    ],
)
def test_a_field_in_other_letters_is_refused(document: dict[str, Any]) -> None:
    """Go takes `Layers` for `layers`, other languages pass it over."""
    assert "write it as" in refusal(json.dumps(document).encode())


def test_annotations_may_differ_in_capitals_alone() -> None:
    """Their names are the user's."""
    assert parsed(image(annotations={"a": "1", "A": "2", "Layers": "3"})).annotations["A"] == "2"


def test_what_was_accepted_by_an_older_release_can_still_be_read() -> None:
    """Else it could neither be deleted nor collected."""
    old = json.dumps(image(manifests=[])).encode("utf-16")
    assert parse_manifest(old, OCI_IMAGE).blobs[0] == CONFIG


JSON = st.recursive(
    st.none() | st.integers(0, 9) | st.text('a",[{\\:}]é', max_size=6),
    lambda inner: st.lists(inner, min_size=1, max_size=4) | st.dictionaries(st.text(max_size=3), inner, min_size=1),
    max_leaves=20,
)


def count(value: object) -> int:
    """Count as the limit does: a container counts for its values, and an empty one for one."""
    if not isinstance(value, list | dict):
        return 0
    inner = value if isinstance(value, list) else list(value.values())
    return max(1, len(inner)) + sum(map(count, inner))


@given(st.dictionaries(st.text(max_size=3), JSON, min_size=1), st.booleans())
def test_values_are_counted_and_not_what_strings_hold(document: dict[str, Any], is_ascii: bool) -> None:  # noqa: FBT001
    """As many as the limit are accepted, and one more is not: brackets and commas of text are none."""
    content = json.dumps(document, ensure_ascii=is_ascii).encode()
    values = count(document)
    assert read_document(content, values) == document
    with pytest.raises(ManifestInvalid, match="values accepted here"):
        read_document(content, values - 1)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":[' + b"[[]]," * MIB + b"0]}",
        b'{"a":[' + b'"",' * MIB + b"0]}",
        b'{"a":"' + b'\\",' * MIB,
        b'{"a":"' + b"\\,[" * MIB,
        b"[" * MIB,
    ],
    ids=["lists", "strings", "quotes-without-end", "escapes-without-end", "deep"],
)
def test_megabytes_of_values_are_refused(content: bytes) -> None:
    """Whether or not they are JSON."""
    assert "accepted here" in refusal(content) or "not JSON" in refusal(content)


def test_a_manifest_may_hold_other_documents_as_text() -> None:
    """Signatures and attestations stand in annotations, with brackets and commas by the thousand."""
    text = json.dumps([[number] for number in range(LIMITS.values)])
    assert parsed(image(annotations={"bundle": text})).annotations == {"bundle": text}


@pytest.mark.parametrize("field", ["layers", "blobs", "manifests"])
def test_more_references_than_the_limit_are_refused(field: str) -> None:
    """The message says how many there are, how many may be, and what to do."""
    listed = {field: [descriptor(ONE)] * 130}
    document = index(**listed) if field == "manifests" else image(**({"layers": []} | listed))
    content, content_type = json.dumps(document).encode(), OCI_INDEX if field == "manifests" else OCI_IMAGE
    message = refusal(content, content_type, ManifestLimits(129, LIMITS.values))
    assert "130" in message
    assert "129" in message
    assert "push an index" in message
    parse_pushed(content, content_type, ManifestLimits(130, LIMITS.values))


def peak_bytes() -> int:
    """Return the most memory that was held since the last reset."""
    return tracemalloc.get_traced_memory()[1]


@pytest.mark.parametrize("text", ["sha256:" + "a" * 8 * MIB, "a+" * 4 * MIB, "a" * 8 * MIB + ":", ":" * 8 * MIB])
def test_an_endless_digest_is_refused_by_its_length(text: str) -> None:
    """Its grammar would take dozens of bytes for each character."""
    tracemalloc.start()
    try:
        with pytest.raises(DigestInvalid) as caught:
            Digest.parse(text)
        assert peak_bytes() < MIB
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 1000


def test_an_endless_token_is_refused_by_its_length() -> None:
    """It is not decoded."""
    text = "a" * 8 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(UploadUnknown):
            ShownToken.read(text)
        assert peak_bytes() < MIB
    finally:
        tracemalloc.stop()
