"""What keeps other users of the machine out of SeaweedFS: one certificate, which every service asks for.

SeaweedFS is several services that talk over ports of the loopback interface, and every local user can reach those. Only
the S3 service asks for keys. The others would let any user read, write and delete. So each of them accepts TLS alone,
and only from a client that has the certificate. Only our user can read its key.
"""

import os
from pathlib import Path

from zotpy.embedded.directory import Directory, write_private

_GRPC = ("volume", "master", "filer", "s3", "client")
_HTTPS = ("volume", "master", "filer", "client")


def lock_services(directory: Directory) -> None:
    """Write the certificate at the first start, and the configuration that makes SeaweedFS ask for it."""
    if not directory.certificate.exists():
        from zotpy.embedded.service_certificate import certificate_and_key  # noqa: PLC0415 - 11 MiB that later starts do without

        write_private(directory.certificate, certificate_and_key())
    write_private(directory.security, _configuration(directory.certificate).encode())


def _configuration(certificate: Path) -> str:
    """Return SeaweedFS's `security.toml`: the one certificate is its own authority."""
    quoted = f'"{os.fspath(certificate)}"'
    pair = f"cert = {quoted}\nkey = {quoted}\n"
    grpc = [f"[grpc.{name}]\n{pair}" for name in _GRPC]
    https = [f"[https.{name}]\nenabled = true\n{pair}ca = {quoted}\n" for name in _HTTPS]
    return "\n".join([f"[grpc]\nca = {quoted}\n", *grpc, *https])
