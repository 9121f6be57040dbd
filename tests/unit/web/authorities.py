"""Authorities of a test's own, and the certificates of clients that they sign."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate of a client, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate as it goes through TLS."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate as a text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def write(self, directory: Path, name: str = "client") -> Path:
        """Write the certificate and the key into one file."""
        file = directory / f"{name}.pem"
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(self.pem.encode() + key)
        return file

    def context(self, directory: Path) -> ssl.SSLContext:
        """Return a client's side of TLS that shows this certificate, and believes every server."""
        context = anonymous()
        context.load_cert_chain(self.write(directory, self.certificate.serial_number.to_bytes(20, "big").hex()))
        return context


def anonymous() -> ssl.SSLContext:
    """Return a client's side of TLS without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Authority:
    """One that signs certificates."""

    name: str = "CA of a test"
    above: Authority | None = None
    """Who has signed its own certificate; `None`: itself."""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def write(self, file: Path) -> Path:
        """Write its own certificate."""
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        file.write_text((self.above or self)._sign(_named([("CN", self.name)]), self.key, constraints, 1).pem)
        return file

    def issue(
        self,
        *subject: tuple[str, str],
        uris: Sequence[str] = (),
        emails: Sequence[str] = (),
        dns_names: Sequence[str] = (),
        days: int = 1,
    ) -> Issued:
        """Sign the certificate of a client: what it is called, such as `("CN", "alice")`, and its other names."""
        others: list[x509.GeneralName] = [
            *map(x509.UniformResourceIdentifier, uris),
            *map(x509.RFC822Name, emails),
            *map(x509.DNSName, dns_names),
        ]
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(_named(subject), key, x509.SubjectAlternativeName(others) if others else None, days)

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType | None, days: int
    ) -> Issued:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(_named([("CN", self.name)]), name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=3))
            .not_valid_after(now + timedelta(days=days))
        )
        if extension is not None:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return Issued(builder.sign(self.key, hashes.SHA256()), key)


_KINDS = {
    "CN": x509.NameOID.COMMON_NAME,
    "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
    "O": x509.NameOID.ORGANIZATION_NAME,
    "C": x509.NameOID.COUNTRY_NAME,
}


def _named(parts: Sequence[tuple[str, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(_KINDS[kind], value) for kind, value in parts])
