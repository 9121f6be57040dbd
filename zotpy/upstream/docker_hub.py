"""Docker Hub has several names. Files of logins, configurations and clients use any of them for the same registry."""

from urllib.parse import urlsplit

NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
"""Clients call it by the first."""
_API_HOST = "registry-1.docker.io"
_WITHOUT_API = {"docker.io", "index.docker.io"}


def names_of(host: str) -> tuple[str, ...]:
    """Return every name of a registry, first the given one: `docker.io` for `registry-1.docker.io`, among others."""
    return (host, *(name for name in NAMES if name != host)) if host in NAMES else (host,)


def api_url(url: str) -> str:
    """Return the address at which a registry answers: `https://docker.io/library` is not the one of Docker Hub."""
    parts = urlsplit(url)
    return parts._replace(netloc=_API_HOST).geturl() if parts.netloc.lower() in _WITHOUT_API else url
