"""Which certificates of an upstream we trust, and which one we show to it (docker's certs.d)."""

import ssl
from pathlib import Path

import httpx

from zotpy.settings.upstream import UpstreamSettings


def tls_context(settings: UpstreamSettings) -> ssl.SSLContext:
    """Read the files. Raises `ValueError` with a sentence that says what is wrong."""
    context = httpx.create_ssl_context(verify=settings.tls_verify)
    directory = settings.certificates
    if directory is None:
        return context
    try:
        names = sorted(directory.iterdir())
    except OSError as error:
        msg = f"{directory}: {error.strerror}"
        raise ValueError(msg) from error
    for file in names:
        try:
            if file.suffix == ".crt":
                context.load_verify_locations(cafile=file)
            elif file.suffix == ".cert":
                context.load_cert_chain(file, _key_of(file), password=_no_password)
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
            msg = f"{file}: {error.strerror if isinstance(error, OSError) else error}"
            raise ValueError(msg) from error
    return context


def _key_of(file: Path) -> Path:
    key = file.with_suffix(".key")
    if not key.exists():
        msg = f"its key {key.name} is missing"
        raise ValueError(msg)
    return key


def _no_password() -> str:
    """Answer OpenSSL, which otherwise asks at the terminal."""
    msg = "its key has a password: store it without one"
    raise ValueError(msg)
