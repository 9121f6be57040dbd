"""A configuration file as a tree: JSON or YAML, where one name given twice is a mistake."""

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from zotpy.config.errors import ConfigError


def read_document(file: Path) -> dict[str, Any]:
    """Read a file; JSON where it begins with a brace. Raises `ConfigError`."""
    try:
        document = _parse(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from error
    except RecursionError as error:
        raise ConfigError([f"{file}: nested too deeply"]) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{file}: {' '.join(str(error).split())}"]) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError([f"{file}: write settings as names and values"])
    return document


def _parse(text: str) -> object:
    if text.lstrip().startswith("{"):  # YAML would refuse tabs
        return json.loads(text, object_pairs_hook=_unique)
    return yaml.load(text, _UniqueLoader)  # noqa: S506 - it is a SafeLoader


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_twins([name for name, _ in pairs])
    return dict(pairs)


def _refuse_twins(names: Sequence[str]) -> None:
    twins = sorted(name for name, count in Counter(names).items() if count > 1)
    if twins:
        msg = f"{twins[0]!r} stands twice in one section"
        raise ValueError(msg)


class _UniqueLoader(yaml.SafeLoader):
    """PyYAML's, which alone would keep the last of several values silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        _refuse_twins([str(name.value) for name, _ in node.value])
        return super().construct_mapping(node, deep)
