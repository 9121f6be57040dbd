"""How the source of an import is written on the command line."""

import re
from dataclasses import dataclass

_HOST = re.compile(r"(?:(https?)://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/(.*))?")
_ALIASES = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """Another registry."""

    url: str
    """Scheme, host and port."""
    host: str
    """The host as it was written, with its port: credentials are found by it."""
    repository: str = ""
    """A name or a pattern; empty: all repositories."""


def parse_place(text: str) -> RegistryPlace:
    """Read a source. Raises `ValueError` with a sentence that says what to write."""
    found = _HOST.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no source: write HOST[:PORT][/REPOSITORY]"
        raise ValueError(msg)
    scheme, host, port, repository = found.groups()
    if scheme is None and port is None and "." not in host and host != "localhost":
        msg = f"{text!r} names no host: write HOST[:PORT][/REPOSITORY], or https://{text} if it is one"
        raise ValueError(msg)
    behind = f":{port}" if port else ""
    return RegistryPlace(
        f"{scheme or 'https'}://{_ALIASES.get(host, host)}{behind}", f"{host}{behind}", (repository or "").strip("/")
    )
