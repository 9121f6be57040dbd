"""A certificate of a test's own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.processes import find_program

if TYPE_CHECKING:
    from pathlib import Path

NAMES = "IP:127.0.0.1,DNS:registry.example.com,DNS:tools.example.com"


def self_signed(directory: Path) -> Path:
    """Return a file with the certificate and its key; beside it is `ca.crt`, the certificate alone."""
    openssl = find_program("openssl", "apt-get install openssl")
    key, crt, both = directory / "key.pem", directory / "ca.crt", directory / "both.pem"
    subject = ["-subj", "/CN=zotpy test", "-addext", f"subjectAltName={NAMES}", "-days", "2", "-nodes"]
    new_key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key]
    subprocess.run([openssl, "req", "-x509", *new_key, "-out", crt, *subject], check=True, capture_output=True)
    both.write_text(crt.read_text() + key.read_text())
    return both
