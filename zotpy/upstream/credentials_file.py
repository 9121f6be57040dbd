"""zot's `credentialsFile`: JSON with `username` and `password` for each host. Mirrors and imports read it alike."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from zotpy.core.json_objects import read_object
from zotpy.upstream.docker_hub import names_of
from zotpy.upstream.login import Login

LONGEST_BYTES = 1024 * 1024


def read_credentials_file(file: Path) -> Mapping[str, Login]:
    """Return the logins by host, which may have a port.

    Raises `ValueError` with a sentence that names the file and repeats none of its passwords.
    """
    try:
        with file.open("rb") as opened:
            written = opened.read(LONGEST_BYTES + 1)
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror or type(error).__name__}"
        raise ValueError(msg) from None
    if len(written) > LONGEST_BYTES:
        msg = f"{file} is longer than {LONGEST_BYTES} bytes"
        raise ValueError(msg)
    try:
        document = read_object(written)
    except ValueError as error:
        msg = f'{file} {error}: write one such as {{"registry.example.com": {{"username": "u", "password": "p"}}}}'
        raise ValueError(msg) from None
    return {_host(name): _login(file, name, login) for name, login in document.items()}


def login_at(logins: Mapping[str, Login], url: str) -> Login | None:
    """Return the login at an address."""
    return next((logins[name] for name in _names_at(url) if name in logins), None)


def without_use(logins: Iterable[str], urls: Iterable[str]) -> list[str]:
    """Return the names of those logins that belong to none of the addresses."""
    used = {name for url in urls for name in _names_at(url)}
    return [name for name in logins if name not in used]


def _names_at(url: str) -> tuple[str, ...]:
    """Return the names that the login at an address may have: the address with its path, as in zot, or its host."""
    address = _host(url)
    return (address, *names_of(address.partition("/")[0]))


def _host(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").strip("/")


def _login(file: Path, name: str, login: object) -> Login:
    username, password = (login.get("username"), login.get("password")) if isinstance(login, dict) else (None, None)
    if isinstance(username, str) and isinstance(password, str):
        return Login(username, password)
    msg = f"{file}: write username and password for {name}"
    raise ValueError(msg)
