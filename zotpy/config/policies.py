"""`storage.retention.policies`: what is deleted and what stays in each repository, in zot's words."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zotpy.config.errors import NestedProblems
from zotpy.config.quantities import read_count, read_duration, read_size
from zotpy.config.suggestions import closest
from zotpy.config.values import Reader, read_flag
from zotpy.core.globs import read_glob
from zotpy.core.units import MIB
from zotpy.settings.retained import KeepTagsSettings, PolicySettings

MOST_TAGS = 1_000_000


def read_policies(value: object) -> tuple[PolicySettings, ...]:
    """Read the list of policies; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            msg = "write a list of policies, as JSON"
            raise ValueError(msg) from error
    problems: list[tuple[str, str]] = []
    found = [PolicySettings(**fields) for fields in _sections(value, "", _POLICY, problems, needed="repositories")]
    problems += [
        (f"[{index}].keepUntagged", "untagged manifests stay with deleteUntagged: false: leave one of the two out")
        for index, policy in enumerate(found)
        if policy.keep_untagged is not None and not policy.delete_untagged
    ]
    if problems:
        raise NestedProblems(problems)
    return tuple(found)


def read_regex(value: object) -> re.Pattern[str]:
    """Read a regular expression of tags. Refuse what Go and Python do not understand alike."""
    if not isinstance(value, str):
        msg = "write a regular expression such as v2.*, in quotes"
        raise ValueError(msg)  # noqa: TRY004 - what all readers raise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as for `[[:alpha:]]`, which Python does not know
            return re.compile(value, re.ASCII)
    except (re.error, FutureWarning, DeprecationWarning, RecursionError, OverflowError) as error:
        msg = f"{value!r} is not a regular expression that Python understands: {error}"
        raise ValueError(msg) from error


def _read_list(value: object, path: str, read: Reader, problems: list[tuple[str, str]]) -> tuple[Any, ...]:
    """Read each item of a list, and note what is wrong with any."""
    if not isinstance(value, list):
        problems.append((path, "write a list"))
        return ()
    found = []
    for index, item in enumerate(value):
        try:
            found.append(read(item))
        except ValueError as error:
            problems.append((f"{path}[{index}]", str(error)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Field:
    """One name in a section: its field, and how to read its value, or each item of its list."""

    field: str
    read: Reader | None = None
    each: Reader | None = None
    sections: Mapping[str, "_Field"] | None = None
    section: Mapping[str, "_Field"] | None = None
    """The value is one section, not a list of them. An empty one means none."""


_KEEP_TAGS = {
    "patterns": _Field("patterns", each=read_regex),
    "mostRecentlyPushedCount": _Field("most_recently_pushed_count", read_count(0, MOST_TAGS)),
    "mostRecentlyPulledCount": _Field("most_recently_pulled_count", read_count(0, MOST_TAGS)),
    "mostRecentlyPulledBytes": _Field("most_recently_pulled_bytes", read_size(MIB)),
    "pushedWithin": _Field("pushed_within_s", read_duration),
    "pulledWithin": _Field("pulled_within_s", read_duration),
}
_KEEP_UNTAGGED = {name: field for name, field in _KEEP_TAGS.items() if name != "patterns"}
_POLICY = {
    "repositories": _Field("repositories", each=read_glob),
    "deleteReferrers": _Field("delete_referrers", read_flag),
    "deleteUntagged": _Field("delete_untagged", read_flag),
    "keepTags": _Field("keep_tags", sections=_KEEP_TAGS),
    "keepUntagged": _Field("keep_untagged", section=_KEEP_UNTAGGED),
}


def _sections(
    value: object, path: str, fields: Mapping[str, _Field], problems: list[tuple[str, str]], *, needed: str = ""
) -> list[dict[str, Any]]:
    """Read a list of sections, each as values by field."""
    if not isinstance(value, list):
        problems.append((path, "write a list of sections"))
        return []
    return [_section(item, f"{path}[{index}]", fields, problems, needed) for index, item in enumerate(value)]


def _section(
    value: object, path: str, fields: Mapping[str, _Field], problems: list[tuple[str, str]], needed: str
) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.append((path, "write settings as names and values"))
        return {fields[needed].field: ()} if needed else {}
    canonical = {name.lower(): name for name in fields}
    found: dict[str, Any] = {}
    for given, item in value.items():
        name = canonical.get(str(given).lower())
        if name is None:
            near = closest(str(given), canonical)
            meant = "" if near is None else f"; did you mean {canonical[near]}?"
            problems.append((f"{path}.{given}", f"there is no such setting{meant}"))
        elif fields[name].field in found:
            problems.append((f"{path}.{name}", "occurs twice, in upper and lower case: remove one of them"))
        elif item is not None:
            found[fields[name].field] = _value(item, f"{path}.{name}", fields[name], problems)
    if needed and not found.get(fields[needed].field):
        found[fields[needed].field] = ()
        if not any(where.startswith(f"{path}.{needed}") for where, _ in problems):
            problems.append((f"{path}.{needed}", "write a list of patterns; ** matches all repositories"))
    return found


def _value(item: object, path: str, field: _Field, problems: list[tuple[str, str]]) -> Any:
    if field.sections is not None:
        return tuple(KeepTagsSettings(**each) for each in _sections(item, path, field.sections, problems))
    if field.section is not None:
        rules = KeepTagsSettings(**_section(item, path, field.section, problems, ""))
        return None if rules == KeepTagsSettings() else rules
    if field.each is not None:
        return _read_list(item, path, field.each, problems)
    try:
        return None if field.read is None else field.read(item)
    except ValueError as error:
        problems.append((path, str(error)))
        return None
