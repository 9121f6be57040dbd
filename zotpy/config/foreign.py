"""Settings of zot of which some values must not be ignored: those that lock, or say where data lies or goes.

A function checks each of them. It is called with the setting's value and with the section `storage`, both with names in
lower case. It raises `NestedProblems` or `ValueError` if the value asks for what zotpy does not do. A value that passes
has no effect.
"""

from collections.abc import Callable, Mapping
from typing import Any

from zotpy.config.errors import NestedProblems
from zotpy.config.values import read_flag

Section = Mapping[str, Any]
Judge = Callable[[Any, Section], None]
_DRIVER = "storagedriver"
_PLACE = ("name", "bucket", "region", "regionendpoint", "rootdirectory")
_SINKS = frozenset({"http", "nats"})


def lowered(value: Any) -> Any:
    """Return the value with the names of all sections in lower case, as zot compares them."""
    if isinstance(value, Mapping):
        return {str(name).lower(): lowered(item) for name, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


def judge_lint(value: Any, storage: Section) -> None:
    """`extensions.lint` refuses manifests without certain annotations."""
    del storage
    if _is_on(value) and value.get("mandatoryannotations"):
        msg = "zotpy does not check annotations yet: let your pipeline check them, and remove this"
        raise ValueError(msg)


def judge_events(value: Any, storage: Section) -> None:
    """`extensions.events` has receivers that wait for every event. Also say what is wrong with one of them."""
    del storage
    if value is None:
        return
    if not isinstance(value, Mapping):
        msg = "write settings as names and values"
        raise ValueError(msg)  # noqa: TRY004 - a fault of the file
    sinks = value.get("sinks") or []
    if not isinstance(sinks, list):
        raise NestedProblems([(".sinks", "write a list of sinks")])
    found = [problem for number, sink in enumerate(sinks) for problem in _problems_of_sink(f".sinks[{number}]", sink)]
    if not found and sinks and _is_on(value):
        problem = "zotpy sends no events yet, so their receiver would get none: set enable to false, or remove this"
        raise ValueError(problem)
    if found:
        raise NestedProblems(found)


def _problems_of_sink(path: str, sink: Any) -> list[tuple[str, str]]:
    if not isinstance(sink, Mapping):
        return [(path, "write a sink as names and values")]
    found = []
    if str(sink.get("type", "")).lower() not in _SINKS:
        found.append((f"{path}.type", "write http or nats"))
    if not isinstance(sink.get("address"), str) or not sink["address"]:
        found.append((f"{path}.address", "write the address of the receiver"))
    return found


def judge_sub_paths(value: Any, storage: Section) -> None:
    """`storage.subPaths` puts repositories elsewhere, by the beginnings of their names."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        msg = "write settings as names and values"
        raise ValueError(msg)  # noqa: TRY004 - a fault of the file
    found = []
    for prefix, own in value.items():
        if not isinstance(own, Mapping):
            found.append((f".{prefix}", "write settings as names and values"))
        elif any(asks(_driver(own).get(name)) for name in ("encrypt", "keyid")):
            problem = "zotpy does not ask for encryption: set the bucket's default encryption, and remove this"
            found.append((f".{prefix}.storageDriver", problem))
        elif _place(own, storage) != _place(storage, storage):
            problem = "zotpy keeps all repositories in one place: run a registry for each place, and remove this"
            found.append((f".{prefix}", problem))
    if found:
        raise NestedProblems(found)


def _place(section: Section, storage: Section) -> tuple[object, ...]:
    """Return what says where data lies. A section without a root has that of `storage`."""
    driver = _driver(section)
    if not driver:
        return ("directory", section.get("rootdirectory") or storage.get("rootdirectory"))
    return tuple(str(driver.get(name) or "").strip("/") for name in _PLACE)


def _driver(section: Section) -> Section:
    driver = section.get(_DRIVER)
    return driver if isinstance(driver, Mapping) else {}


def asks(value: object) -> bool:
    """Whether a file asks for something at all: zot's files name some settings only to turn them off."""
    if isinstance(value, Mapping):
        return any(asks(item) for item in value.values())
    return bool(value) and not (isinstance(value, str) and value.lower() == "false")


def _is_on(value: Any) -> bool:
    """Whether an extension is on: it is if it exists, unless it says otherwise. Raises `NestedProblems`."""
    if not isinstance(value, Mapping):
        return False
    try:
        return value.get("enable") is None or read_flag(value["enable"])
    except ValueError as error:
        raise NestedProblems([(".enable", str(error))]) from error


JUDGED: Mapping[str, Judge] = {
    "extensions.events": judge_events,
    "extensions.lint": judge_lint,
    "storage.subPaths": judge_sub_paths,
}
"""By path. Each also has a reason why a value that passes has no effect (`zotpy.config.zot_only.WITHOUT_EFFECT`)."""
