"""Who a client certificate is for: the subject that it names, and which of its names counts (`http.auth.mtls`)."""

import re
from collections.abc import Callable, Mapping, Sequence
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
_REPEATED = frozenset({"by", "uri", "dns"})
_LAST = ("uri", "dns")
"""Envoy writes these after all others, in this order, and without quotes."""
_NAMES_OF_OPENSSL = {
    "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    "serialNumber": x509.NameOID.SERIAL_NUMBER,
    "title": x509.NameOID.TITLE,
    "GN": x509.NameOID.GIVEN_NAME,
    "SN": x509.NameOID.SURNAME,
    "initials": x509.NameOID.INITIALS,
    "dnQualifier": x509.NameOID.DN_QUALIFIER,
    "pseudonym": x509.NameOID.PSEUDONYM,
    "businessCategory": x509.NameOID.BUSINESS_CATEGORY,
    "postalCode": x509.NameOID.POSTAL_CODE,
    "organizationIdentifier": x509.NameOID.ORGANIZATION_IDENTIFIER,
    "unstructuredName": x509.NameOID.UNSTRUCTURED_NAME,
}
"""What OpenSSL, and so Envoy, calls a part of a subject that has no name in RFC 4514."""


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
    """Read X-Forwarded-Client-Cert, as Envoy writes it: the certificate (`Cert`), or only names that it took from one.

    Envoy writes some names of a certificate without quotes (`URI`, `DNS`), and they may look like further elements or
    pairs. So there may be one element, and nothing but other such names after one of them. Raises `Unauthorized`.
    """
    try:
        values = _values_of(text)
        if certificates := values.get("cert"):
            return subject_of(_der(unquote(certificates[-1])))
        written = (values.get("subject") or [""])[-1]
        name = x509.Name.from_rfc4514_string(written, _NAMES_OF_OPENSSL) if written else x509.Name([])
    except _BROKEN as error:
        msg = "X-Forwarded-Client-Cert cannot be read: let the proxy set it as Envoy does, with one element"
        raise Unauthorized(msg) from error
    uris, dns_names = (tuple(values.get(each, ())) for each in _LAST)
    return Subject(name.rfc4514_string(), _common_name(name), uris=uris, dns_names=dns_names)


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


def _values_of(text: str) -> Mapping[str, Sequence[str]]:
    """Read the pairs of the one element, which have a `;` between them. Raises `ValueError`."""
    if len(text) > LONGEST_FORWARDED:
        raise ValueError
    values: dict[str, list[str]] = {}
    at, end, reached = 0, ";", 0
    while end:
        found = _PAIR.match(text, at)
        if found is None:
            raise ValueError
        name, quoted, plain, end = found[1].lower(), found[2], found[3], found[4]
        place = _LAST.index(name) + 1 if name in _LAST else 0
        if end == "," or place < reached or (name in values and name not in _REPEATED):
            raise ValueError
        if quoted is not None:  # a subject keeps its own backslashes: Envoy adds no others
            plain = quoted if name == "subject" else re.sub(r"\\(.)", r"\1", quoted)
        values.setdefault(name, []).append(plain)
        at, reached = found.end(), place
    return values


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
