"""The file of logins at upstreams: JSON with `username` and `password` for each host, as zot has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

LONGEST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Login:
    """A login at one host."""

    username: str
    password: str = field(repr=False)


async def logins(file: Path | None) -> Mapping[str, Login]:
    """Return the logins by host, which may have a port. Raises `ValueError`, which repeats nothing of the file."""
    if file is None:
        return {}
    return await trio.to_thread.run_sync(partial(_read, file))


def _read(file: Path) -> Mapping[str, Login]:
    try:
        with file.open("rb") as opened:
            document = json.loads(opened.read(LONGEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        msg = f"extensions.sync.credentialsFile: {file} cannot be read as JSON ({type(error).__name__})"
        raise ValueError(msg) from None
    found = {}
    for host, login in document.items() if isinstance(document, dict) else ():
        name, password = (login.get("username"), login.get("password")) if isinstance(login, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(password, str):
            msg = f"extensions.sync.credentialsFile: {file}: write username and password for {host}"
            raise ValueError(msg)  # noqa: TRY004 - a fault of the file
        found[host.removeprefix("https://").removeprefix("http://").strip("/")] = Login(name, password)
    return found
