"""Who a replica is to a directory, and whom it trusts there, by files that are read again when they change.

`http.auth.ldap.credentialsFile` is JSON with `bindDN` and `bindPassword`; `http.auth.ldap.caCert` is PEM.
"""

import ssl
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from zotpy.auth.directory_connection import Server
from zotpy.core.chains import accept_usual_chains
from zotpy.core.json_objects import read_object
from zotpy.files import read_bounded
from zotpy.settings import LdapSettings
from zotpy.watching import Watched

LARGEST_FILE_BYTES = 64 * 1024
PLAIN_PORT, TLS_PORT = 389, 636

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Account:
    """The server, and who we are to it."""

    server: Server
    dn: str = ""
    """Empty: the directory lets anybody search."""
    password: str = field(default="", repr=False)


class AccountFiles(Watched[Account]):
    """The account as its files say now."""

    def __init__(self, settings: LdapSettings) -> None:
        """Read the files. Raises `OSError`, `ValueError` with a message that names the file."""
        self.settings = settings
        files = [file for file in (settings.credentials, settings.ca_cert) if file is not None]
        super().__init__(files, partial(read_account, settings))

    @property
    def account(self) -> Account:
        """What the files say now."""
        return self.latest

    def on_renewed(self) -> None:
        """Log it."""
        log.info("ldap_account_reloaded", files=[str(file) for file in self.files])

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Log it: what was known stays."""
        log.error("ldap_account_not_reloaded", reason=str(error))


def read_account(settings: LdapSettings) -> Account:
    """Read the files that the settings name. Raises `OSError`, `ValueError`."""
    port = settings.port or (PLAIN_PORT if settings.insecure else TLS_PORT)
    tls = _context(settings) if settings.start_tls or not settings.insecure else None
    server = Server(settings.address, port, tls, starts_plain=settings.insecure)
    if settings.credentials is None:
        return Account(server)
    return Account(server, *_read_credentials(settings.credentials))


def _context(settings: LdapSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_cert)
    except OSError as error:  # `ssl.SSLError` is one
        msg = f"{settings.ca_cert} has no certificates that can be used: {error.strerror or error}"
        raise ValueError(msg) from error
    accept_usual_chains(context)
    if settings.skip_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _read_credentials(file: Path) -> tuple[str, str]:
    """Return the name and the password of the service account. An error never repeats what the file says."""
    try:
        found = read_object(read_bounded(file, LARGEST_FILE_BYTES))
    except ValueError:
        found = {}
    named = {name.lower(): value for name, value in found.items()}
    name, password = named.get("binddn"), named.get("bindpassword")
    if not (isinstance(name, str) and name and isinstance(password, str) and password):
        msg = f'{file} is not of the form {{"bindDN": "...", "bindPassword": "..."}}'
        raise ValueError(msg)
    return name, password
