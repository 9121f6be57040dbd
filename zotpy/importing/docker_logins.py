"""docker's file of logins, which podman and others write as well."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from zotpy.core.json_objects import read_object
from zotpy.upstream.docker_hub import names_of


def docker_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where docker, podman and others keep logins on this machine."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return Path(named)
    if directory := environ.get("DOCKER_CONFIG"):
        return Path(directory) / "config.json"
    return Path(environ.get("HOME", "/")) / ".docker" / "config.json"


def from_docker(file: Path, host: str) -> tuple[str, str] | None:
    """Return name and password from docker's file. Its credential helpers are not asked. Raises `ValueError`."""
    try:
        auths = read_object(file.read_bytes()).get("auths")
    except OSError:
        return None
    except ValueError as error:
        msg = f"{file} {error}"
        raise ValueError(msg) from None
    first, *others = names_of(host)
    hub = [f"https://{name}/v1/" for name in (first, *others)] if others else []
    for name in (first, f"https://{first}", *others, *hub):
        entry = auths.get(name) if isinstance(auths, dict) else None
        written = entry.get("auth") if isinstance(entry, dict) else None
        if isinstance(written, str) and written:
            try:
                username, colon, password = base64.b64decode(written, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                msg = f"{file}: the login for {name} cannot be read"
                raise ValueError(msg) from error
            if colon:
                return username, password
    return None
