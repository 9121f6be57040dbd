"""Who a client certificate is for: the subject that it names, and which of its names counts (`http.auth.mtls`)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from zotpy.auth.basic import LONGEST_NAME_BYTES
from zotpy.auth.permission import Identity
from zotpy.core.errors import Unauthorized
from zotpy.settings import MtlsSettings

KIND = "mtls"
LONGEST_URI = 512
"""No pattern is tried on a longer one."""
LONGEST_FORWARDED = 32 * 1024
REMEMBERED = 256
"""How many certificates are kept as subjects, so that each is read once, not at each request."""
_BROKEN = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)
_PAIR = re.compile(r'[ \t]*([A-Za-z]{1,32})=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))[ \t]*([;,]|$)', re.ASCII | re.DOTALL)
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a certificate says of its owner; empty where it says nothing."""

    name: str
    """All of it, as in RFC 4514: the most specific part comes first."""
    common_name: str = ""
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    expires: datetime | None = None
    """`None`: unknown."""


@lru_cache(REMEMBERED)
def subject_of(der: bytes) -> Subject:
    """Read a certificate. Its signature is a matter of the handshake. Raises `Unauthorized`."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        others = _alternatives(certificate)
        return Subject(
            certificate.subject.rfc4514_string(),
            _common_name(certificate.subject),
            tuple(others.get_values_for_type(x509.RFC822Name)),
            tuple(others.get_values_for_type(x509.UniformResourceIdentifier)),
            tuple(others.get_values_for_type(x509.DNSName)),
            certificate.not_valid_after_utc,
        )
    except _BROKEN as error:
        msg = "the client certificate cannot be read: use another one"
        raise Unauthorized(msg) from error


@lru_cache(REMEMBERED)
def subject_of_forwarded(text: str) -> Subject:
    """Read X-Forwarded-Client-Cert, as Envoy writes it: of its elements the last, which our own peer has written.

    It has the certificate (`Cert`), or only what a proxy took from one. Raises `Unauthorized`.
    """
    try:
        *_, pairs = _elements(text)
        values = _grouped(pairs)
        if certificates := values.get("cert"):
            return subject_of(_der(unquote(certificates[-1])))
        name = (values.get("subject") or [""])[-1]
        common_name = _common_name(x509.Name.from_rfc4514_string(name)) if name else ""
    except _BROKEN as error:
        msg = "X-Forwarded-Client-Cert cannot be read: let the proxy write it as Envoy does"
        raise Unauthorized(msg) from error
    return Subject(name, common_name, uris=tuple(values.get("uri", ())), dns_names=tuple(values.get("dns", ())))


class Naming:
    """Which name of a subject is that of a user."""

    def __init__(self, settings: MtlsSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` says by what time certificates expire."""
        self._settings = settings
        self._clock = clock
        self._kinds: Mapping[str, Callable[[Subject], str]] = {
            "commonname": lambda subject: subject.common_name,
            "subject": lambda subject: subject.name,
            "email": lambda subject: _at(subject.emails, settings.email_index),
            "dnsname": lambda subject: _at(subject.dns_names, settings.dns_index),
            "uri": self._from_uri,
        }

    def identify(self, subject: Subject) -> Identity:
        """Return the user. Raises `Unauthorized` if there is no such name, or if the certificate has expired."""
        if subject.expires is not None and subject.expires <= self._clock():
            msg = "the client certificate has expired: use a new one"
            raise Unauthorized(msg)
        for kind in self._settings.identity_attributes:
            if name := self._kinds[kind](subject):
                if len(name.encode()) > LONGEST_NAME_BYTES or not name.isprintable():
                    break
                return Identity(name, kind=KIND)
        msg = "the client certificate names no user of this registry: see http.auth.mtls.identityAttributes"
        raise Unauthorized(msg)

    def _from_uri(self, subject: Subject) -> str:
        uri, pattern = _at(subject.uris, self._settings.uri_index), self._settings.uri_pattern
        if pattern is None or len(uri) > LONGEST_URI:
            return uri if pattern is None else ""
        found = pattern.search(uri)
        return "" if found is None else found[1] or ""


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _common_name(name: x509.Name) -> str:
    """Return the common name, of several the last one, as Go's libraries do."""
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[-1].value) if found and isinstance(found[-1].value, str) else ""


def _at(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else ""


def _elements(text: str) -> Iterator[Pairs]:
    """Read a list of elements, each of pairs with a `;` between them. Raises `ValueError`."""
    if len(text) > LONGEST_FORWARDED:
        raise ValueError
    pairs: list[tuple[str, str]] = []
    at, end = 0, ";"
    while end:
        found = _PAIR.match(text, at)
        if found is None:
            raise ValueError
        name, quoted, plain, end = found.groups()
        pairs.append((name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
        at = found.end()
        if end != ";":
            yield pairs
            pairs = []


def _grouped(pairs: Pairs) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
