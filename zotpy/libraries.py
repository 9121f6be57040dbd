"""Parts of libraries that zotpy relies on beyond their documented interface, checked before they are used.

A new release of a library may rename such a part, give it other parameters, or no longer use it. A limit that is built
on the part would then be lost, and nobody would notice. So a start checks every part, and ends with one sentence if a
part is missing.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import CodeType
from typing import Any


class LibraryChanged(Exception):
    """An installed library lacks a part that zotpy relies on. The message names both, and what to install."""


@dataclass(frozen=True, slots=True)
class Part:
    """One function, method, class or value of a library."""

    name: str
    """With its modules and its class: `hypercorn.trio.tcp_server.TCPServer.run`. A method is named by its own class."""
    parameters: str | None = None
    """The names of all its parameters, separated by spaces; `None`: it has none to check."""
    uses: str = ""
    """Names of attributes and globals that its code must use: what zotpy overrides, replaces or reads."""


@dataclass(frozen=True, slots=True)
class Library:
    """A package, and the parts of it that zotpy relies on."""

    package: str
    release: str
    """The minor version that zotpy is written for, as `pyproject.toml` pins it."""
    parts: tuple[Part, ...]


def check(*libraries: Library) -> None:
    """Look at every part of these libraries, which imports them. Raises `LibraryChanged` for the first one missing."""
    for library in libraries:
        for part in library.parts:
            if fault := _fault_of(part):
                what = f"{library.package} {_version(library.package)}: {part.name} {fault}"
                msg = f"{what}, and zotpy relies on it: install {library.package}~={library.release}.0"
                raise LibraryChanged(msg)


def _fault_of(part: Part) -> str:
    """Say what is wrong with a part, or nothing."""
    try:
        found = _find(part.name)
    except (ModuleNotFoundError, AttributeError):
        return "is gone"
    except ImportError as error:
        return f"cannot be imported ({error})"
    code: Any = found.fget if isinstance(found, property) else found
    if part.parameters is not None:
        parameters = " ".join(inspect.signature(code).parameters)
        if parameters != part.parameters:
            return f"takes ({parameters}) instead of ({part.parameters})"
    missing = set(part.uses.split()) - set(_names_in(getattr(code, "__code__", None)))
    return f"no longer uses {', '.join(sorted(missing))}" if missing else ""


def _find(name: str) -> Any:
    """Return what has this full name. Raises `ImportError`, `AttributeError`."""
    found: Any = None
    at = ""
    for step in name.split("."):
        at = f"{at}.{step}" if at else step
        if found is None or (inspect.ismodule(found) and not hasattr(found, step)):
            found = import_module(at)
        else:
            found = _own(found, step)
    return found.__func__ if isinstance(found, staticmethod | classmethod) else found


def _own(holder: Any, name: str) -> Any:
    """Return what a module or a class itself has: what it inherits may do something else. Raises `AttributeError`."""
    try:
        return vars(holder)[name]
    except KeyError:
        raise AttributeError(name) from None


def _names_in(code: CodeType | None) -> Iterator[str]:
    """Yield the attributes and globals that code uses, also in functions within it."""
    if code is not None:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _names_in(constant)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only if something is wrong

    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
