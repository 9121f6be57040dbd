"""A certificate for a registry that speaks TLS, made for one run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.servers.processes import find_program


@dataclass(frozen=True)
class Certificate:
    """A certificate of its own authority, and its key: files in PEM."""

    cert: Path
    key: Path


def make_certificate(directory: Path, host: str = "127.0.0.1") -> Certificate:
    """Make one for an address of this machine, ECDSA with P-256. Raises `ProgramMissing` without openssl."""
    made = Certificate(directory / "registry.crt", directory / "registry.key")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{host}"]
    files = ["-keyout", str(made.key), "-out", str(made.cert)]
    openssl = find_program("openssl", "apt-get install openssl")
    subprocess.run([openssl, "req", "-x509", *curve, *names, *files], capture_output=True, check=True)
    return made
