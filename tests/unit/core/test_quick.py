"""Quickly made values are like those of any frozen dataclass, except that only the type checker guards their fields."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from zotpy.core.digests import Digest
from zotpy.core.quick import quickly_made


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Slow:
    """Has fields of all kinds."""

    name: str
    count: int = 1
    listed: list[int] = dataclasses.field(default_factory=list, compare=False)
    extra: str = dataclasses.field(default="", repr=False)


@quickly_made
@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Quick:
    """Has the same."""

    name: str
    count: int = 1
    listed: list[int] = dataclasses.field(default_factory=list, compare=False)
    extra: str = dataclasses.field(default="", repr=False)


def test_a_quickly_made_value_is_like_a_slow_one() -> None:
    """Its arguments, defaults, order, hash, text and copies are the same."""
    for one, other in ((Slow("a"), Quick("a")), (Slow("a", 2, [3], "x"), Quick("a", count=2, listed=[3], extra="x"))):
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert hash(one) == hash(other)
        assert repr(one).replace("Slow", "Quick") == repr(other)
        assert dataclasses.replace(other, count=9) == Quick(other.name, 9, other.listed, other.extra)
    assert Quick("a") == Quick("a", listed=[1])
    assert Quick("a") < Quick("b")
    assert Quick("a").listed is not Quick("a").listed
    digest = Digest("sha256", "a" * 64)
    assert pickle.loads(pickle.dumps(digest)) == digest  # noqa: S301 - our own bytes
    with pytest.raises(TypeError):
        Quick()  # type: ignore[call-arg]  # the name is missing


def test_a_quickly_made_value_has_no_other_fields() -> None:
    """It still has slots, so that a name that is none of its fields is an error."""
    with pytest.raises(AttributeError):
        setattr(Quick("a"), "other", 1)  # noqa: B010 - the type checker refuses it otherwise
