"""Descriptors in the list of referrers, however long what a manifest says of itself is."""

from __future__ import annotations

import json

import pytest

from zotpy.core.referrers import LONGEST_TYPE, bounded, json_bytes

PLAIN = {"mediaType": "application/x", "digest": "sha256:0", "size": 3}


def test_a_usual_descriptor_stays_as_it_is() -> None:
    """Annotations and artifact type are the manifest's."""
    descriptor = PLAIN | {"artifactType": "application/y", "annotations": {"b": "1", "a": "é"}}
    assert bounded(descriptor, 1000) == descriptor


@pytest.mark.parametrize("long", ["x" * 100, "\x01" * 20, "é" * 20, "\U0001f600" * 10])
def test_annotations_that_are_too_long_are_left_out_and_others_stay(long: str) -> None:
    """What counts is their length in the answer."""
    annotations = {"first": "1", "long": long, "second": "2"}
    assert bounded(PLAIN | {"annotations": annotations}, 100)["annotations"] == {"first": "1", "second": "2"}
    assert bounded(PLAIN | {"annotations": {long: "1"}}, 100) == PLAIN
    assert bounded(PLAIN | {"annotations": annotations}, 0) == PLAIN


def test_many_short_annotations_are_too_long_together() -> None:
    """As many are kept as there is room for."""
    annotations = {f"name{number}": "value" for number in range(1000)}
    kept = bounded(PLAIN | {"annotations": annotations}, 1000)["annotations"]
    assert list(kept) == list(annotations)[: len(kept)]
    assert 900 < json_bytes(kept) <= 1000


def test_an_artifact_type_that_is_too_long_to_be_one_is_left_out() -> None:
    """It would make a page as long as a manifest."""
    assert bounded(PLAIN | {"artifactType": "a" * (LONGEST_TYPE + 1)}, 100) == PLAIN
    assert "artifactType" in bounded(PLAIN | {"artifactType": "a" * LONGEST_TYPE}, 100)


def test_what_is_no_descriptor_gives_nothing() -> None:
    """An object of the bucket may hold anything that is JSON."""
    assert bounded({"annotations": [1], "artifactType": 7, "else": "x" * 1000}, 100) == {}
    assert bounded({"annotations": {"a": 1, "b": "c"}}, 100) == {"annotations": {"b": "c"}}
    assert json.dumps(bounded(PLAIN, 0))
