"""What keeps other users of the machine out of SeaweedFS: one certificate, which every service asks for.

SeaweedFS is several services that talk over ports of the loopback interface, and every local user can reach those. Only
the S3 service asks for keys; the others would let anyone read, write and delete. So each of them takes TLS alone, and
only from a client that has the certificate, whose key only our user can read.
"""

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zotpy.embedded.directory import Directory, write_private

_LASTS = dt.timedelta(days=100 * 365)
"""It is made once for each directory, and known to nobody outside it."""
_BEGINS = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""Long ago: the machine's clock may be wrong when it is made."""
_GRPC = ("volume", "master", "filer", "s3", "client")
_HTTPS = ("volume", "master", "filer", "client")


def lock_services(directory: Directory) -> None:
    """Write the certificate, at the first start, and the configuration that makes SeaweedFS ask for it."""
    if not directory.certificate.exists():
        write_private(directory.certificate, _certificate_and_key())
    write_private(directory.security, _configuration(directory.certificate).encode())


def _configuration(certificate: Path) -> str:
    """Return SeaweedFS's `security.toml`: the one certificate is its own authority."""
    quoted = f'"{os.fspath(certificate)}"'
    pair = f"cert = {quoted}\nkey = {quoted}\n"
    grpc = [f"[grpc.{name}]\n{pair}" for name in _GRPC]
    https = [f"[https.{name}]\nenabled = true\n{pair}ca = {quoted}\n" for name in _HTTPS]
    return "\n".join([f"[grpc]\nca = {quoted}\n", *grpc, *https])


def _certificate_and_key() -> bytes:
    """Make a certificate for this machine that signs itself, for both sides of a connection, and its key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zotpy embedded store")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGINS)
        .not_valid_after(_BEGINS + _LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
        .add_extension(uses, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem) + secret
