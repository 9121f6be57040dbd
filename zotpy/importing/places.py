"""The source of an import, as the command line names it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from zotpy.upstream.docker_hub import api_url

Kind = Literal["oci", "oci-archive", "zot"]
_HOST = re.compile(r"(?:(https?)://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:/(.*))?")


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """Another registry."""

    url: str
    """Scheme, host and port."""
    host: str
    """The host as the command line has it, with its port. Credentials are found by this name."""
    repository: str = ""
    """A name or a pattern; empty: all repositories."""


@dataclass(frozen=True, slots=True)
class FilesPlace:
    """Files on this machine."""

    kind: Kind
    path: Path
    """An OCI layout, a tar of one, or a directory with layouts as zot keeps them."""


Place = RegistryPlace | FilesPlace


def parse_place(text: str) -> Place:
    """Read a source. Raises `ValueError` with a sentence that says what to write."""
    if (files := parse_files(text)) is not None:
        return files
    found = _HOST.fullmatch(text)
    if found is None:
        msg = f"{text!r} is not a source: write HOST[:PORT][/REPOSITORY], oci:DIR, oci-archive:FILE or zot:DIR"
        raise ValueError(msg)
    scheme, host, port, repository = found.groups()
    if scheme is None and port is None and "." not in host and host != "localhost":
        msg = f"{text!r} names no host: write HOST[:PORT][/REPOSITORY], or https://{text} if it is one"
        raise ValueError(msg)
    behind = f":{port}" if port else ""
    if repository and (sign := re.search("[:@]", repository)):
        name, behind_name = repository[: sign.start()], repository[sign.end() :]
        tags = f", and --tags {behind_name}" if sign[0] == ":" else ""
        msg = f"{text!r} names one image, but repositories are copied: write the name {name}{tags}"
        raise ValueError(msg)
    url = api_url(f"{scheme or 'https'}://{host}{behind}")
    return RegistryPlace(url, f"{host}{behind}", (repository or "").strip("/"))


def parse_files(text: str) -> FilesPlace | None:
    """Read a place of files, such as `oci:images/nginx`; `None`: the text is no such place."""
    before, _, path = text.partition(":")
    for kind in get_args(Kind):
        if kind == before and path:
            return FilesPlace(kind, Path(path))
    return None
