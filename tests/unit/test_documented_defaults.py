"""The defaults and bounds that the pages name are those of the program: every table of settings is held against it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zotpy.config.schema import DRIVER, LEAVES
from zotpy.settings import BearerSettings, LdapSettings, MtlsSettings, PolicySettings, S3Settings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
UNSET = {
    "none": (None, "", ()),
    "the AWS chain": (None,),
    "public authorities": (None,),
    "AWS in the region": (None,),
    "`regionendpoint`": (None,),
    "any time": (None,),
    "the system's authorities": (None,),
    "a quarter of the grace with the store on this disk, else `0`": (None,),
}
"""What a page says of a default that stands for "not given", and the values that do so."""
TOLD_ELSEWHERE = {
    "http.auth.ldap.port": "`636`; with `insecure` `389`",
    "storage.rootDirectory": "`$XDG_DATA_HOME/zotpy`, else `~/.local/share/zotpy`, without a home `/var/lib/zotpy`",
    f"{DRIVER}.bucket": "required",
    f"{DRIVER}.name": "`s3`",
    f"{DRIVER}.region": "`AWS_REGION`, `AWS_DEFAULT_REGION`, else `us-east-1`",
    f"{DRIVER}.secure": "`true`",
    f"{DRIVER}.forcepathstyle": "`true` with `regionendpoint`, else `false`",
}
"""Defaults that follow from other settings or the environment; `test_config.py` has a test for each of them."""
NO_BOUND = {"http.port", "http.workers"}
"""Numbers that a client cannot reach."""
_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "KiB": 2**10, "MiB": 2**20, "%": 0.01}
_QUANTITY = re.compile(r"(?<![\w.,])(\d[\d,]*)(?: (s|min|h|KiB|MiB|%))?(?![\w%])")
_BETWEEN = re.compile(r"(?<![\w,.])`?(\d+[A-Za-z]*)`? to `?(\d+[A-Za-z]*)`?(?=[.;:, ])")
_UP_TO = re.compile(r"up to `(\d+[A-Za-z]+)`")
_AT_LEAST = re.compile(r"[Aa]t least `(\d+[A-Za-z]+)`")


def rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the page's tables."""
    for line in (DOCS / page).read_text().split("\n"):
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def default_of(path: str) -> object:
    """Return the default of a setting."""
    leaf = LEAVES[path]
    sections = {
        "s3": S3Settings(bucket=""),
        "ldap": LdapSettings(address="", base_dn="", user_attribute=""),
        "mtls": MtlsSettings(),
        "bearer": BearerSettings(),
    }
    section = sections.get(leaf.section) or getattr(Settings(), leaf.section)
    return getattr(section, leaf.field)


def paths_in(cell: str) -> list[str]:
    """Return the settings that a cell names."""
    return [span for span in re.findall(r"`([^`]+)`", cell) if span in LEAVES]


def bounds_of(path: str) -> tuple[str | None, str | None]:
    """Return the lowest and the highest value that the row of a setting names."""
    meaning = CONFIGURATION[path][2].replace(",000", "000")
    if between := _BETWEEN.search(meaning):
        return between[1], between[2]
    at_least, up_to = _AT_LEAST.search(meaning), _UP_TO.search(meaning)
    return at_least[1] if at_least else None, up_to[1] if up_to else None


CONFIGURATION = {row[0].strip("`"): row for row in rows("configuration.md") if row[0].strip("`") in LEAVES}
BOUNDS = [(row, path) for row in rows("security.md") if len(row) == 4 for path in paths_in(row[2])]


@pytest.mark.parametrize("path", LEAVES)
def test_the_page_names_the_default(path: str) -> None:
    """Each setting is a row of docs/configuration.md, whose default, read as in a file, is that of the program."""
    told = CONFIGURATION[path][1]
    if path in TOLD_ELSEWHERE:
        assert told == TOLD_ELSEWHERE[path]
    elif told in UNSET:
        assert default_of(path) in UNSET[told]
    elif told == "`[]`":
        assert default_of(path) == ()
    else:
        assert LEAVES[path].read(told.strip("`")) == default_of(path)


@pytest.mark.parametrize("path", LEAVES)
def test_the_page_names_the_bounds(path: str) -> None:
    """Where a row says from where to where a setting goes, those ends are accepted and nothing beyond them."""
    for end, step in zip(bounds_of(path), (-1, 1), strict=True):
        if end is not None:
            value = LEAVES[path].read(end)
            assert isinstance(value, int | float)
            if value + step > 0:
                with pytest.raises(ValueError, match=re.escape(f"{value + step:.0f}")):
                    LEAVES[path].read(f"{value + step:.0f}")


@pytest.mark.parametrize("path", LEAVES)
def test_no_highest_value_is_missing(path: str) -> None:
    """If a number can be too large for a setting, its row says which is the largest."""
    try:
        LEAVES[path].read(str(10**12 - 1))
    except ValueError as error:
        if any(words in str(error) for words in ("whole number from", "too large", "is not from")):
            assert bounds_of(path)[1] is not None


def test_a_policy_has_the_defaults_of_the_page() -> None:
    """What a retention policy does where it says nothing is what its table says."""
    told = {row[0].strip("`"): row[1] for row in rows("configuration.md") if len(row) == 3}
    fields = {field.name: field.default for field in dataclasses.fields(PolicySettings)}
    assert told["deleteUntagged"] == f"`{str(fields['delete_untagged']).lower()}`"
    assert told["deleteReferrers"] == f"`{str(fields['delete_referrers']).lower()}`"


@pytest.mark.parametrize(("row", "path"), BOUNDS, ids=[f"{row[0][:40]}-{path}" for row, path in BOUNDS])
def test_the_page_about_security_has_the_defaults(row: list[str], path: str) -> None:
    """A bound that a setting moves is written with the setting's default, or refers to the setting by its name."""
    bound, default = row[1], default_of(path)
    assert isinstance(default, int | float)
    quantities = [int(number.replace(",", "")) * _UNITS[unit] for number, unit in _QUANTITY.findall(bound)]
    assert f"`{path}`" in bound or default in quantities, f"{path} is {default}, the page says {bound}"


def test_every_limit_is_on_the_page_about_security() -> None:
    """A setting of requests, bodies, manifests or lists that is a number bounds something: the page says what."""
    sections = {"http", "upload", "manifest", "lists"}
    numbers = {
        path
        for path, leaf in LEAVES.items()
        if leaf.section in sections
        and isinstance(default_of(path), int | float)
        and not isinstance(default_of(path), bool)
    }
    assert numbers - {path for _row, path in BOUNDS} - NO_BOUND == set()
