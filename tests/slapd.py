"""A directory for tests: OpenLDAP's slapd, with a few users, and with TLS by certificates that openssl makes."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.servers.processes import accepts
from tests.processes import Process, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "dc=example,dc=org"
PEOPLE = f"ou=People,{BASE}"
SEARCHER, SEARCHER_PASSWORD = f"cn=searcher,{BASE}", "searching"
PASSWORD = "correct-horse"
DEVELOPERS = f"cn=developers,ou=Groups,{BASE}"
_SCHEMA = Path("/etc/ldap/schema")
_CONFIG = """
{includes}
moduleload back_mdb
pidfile {directory}/pid
TLSCACertificateFile {directory}/ca.crt
TLSCertificateFile {directory}/server.crt
TLSCertificateKeyFile {directory}/server.key
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{searcher}" read by * none
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw root
directory {directory}/data
"""


def _person(name: str, unit: str = PEOPLE, title: str = "engineer") -> str:
    return (
        f"dn: uid={name},{unit}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"title: {title}\nou: {DEVELOPERS}\nou: readers\nuserPassword: {PASSWORD}\n"
    )


_ENTRIES = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: People

dn: ou=Deep,{PEOPLE}
objectClass: organizationalUnit
ou: Deep

dn: {SEARCHER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: searcher
userPassword: {SEARCHER_PASSWORD}

{_person("alice")}
{_person("bob", title="guest")}
{_person("carol", f"ou=Deep,{PEOPLE}")}
{_person("twin")}
{_person("twin", f"ou=Deep,{PEOPLE}")}
"""


def certify(directory: Path, name: str, *extensions: str) -> None:
    """Make `NAME.crt` and `NAME.key`, signed by `ca.crt`, which is made first if it does not exist."""
    openssl = find_program("openssl", "apt-get install openssl")

    def run(*words: str | Path) -> None:
        subprocess.run([openssl, *words], check=True, capture_output=True, cwd=directory)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if not (directory / "ca.crt").exists():
        run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=CA of a test", "-days", "2")
    added = [word for extension in extensions for word in ("-addext", extension)]
    run("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", *added)
    issuer = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy")
    run("x509", "-req", "-in", f"{name}.csr", *issuer, "-out", f"{name}.crt", "-days", "2")


class Directory:
    """A slapd that runs, or does not."""

    def __init__(self, home: Path) -> None:
        """Make one of the files in a directory. Nothing is started yet."""
        self.home = home
        self.port, self.tls_port = free_port(), free_port()
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command: list[str | Path] = [find_slapd(), "-f", home / "slapd.conf", "-h", urls, "-d", "stats"]
        self.process = Process("slapd", command, home / "slapd.log")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process.start(lambda: accepts(self.port))

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def log(self) -> str:
        """Return what it has said so far."""
        return (self.home / "slapd.log").read_text(errors="replace")

    def count(self, what: str) -> int:
        """Count the lines of its log that have this, such as `BIND dn=`."""
        return len(re.findall(what, self.log()))

    def settings(self, **others: Any) -> dict[str, Any]:
        """Return `http.auth.ldap` for this directory, with StartTLS."""
        credentials = self.home / "credentials.json"
        credentials.write_text(json.dumps({"bindDN": SEARCHER, "bindPassword": SEARCHER_PASSWORD}))
        return {
            "address": "127.0.0.1",
            "port": self.port,
            "insecure": True,
            "startTLS": True,
            "caCert": str(self.home / "ca.crt"),
            "baseDN": PEOPLE,
            "userAttribute": "uid",
            "userGroupAttribute": "ou",
            "credentialsFile": str(credentials),
            **others,
        }


def find_slapd() -> Path:
    """Return the program. Debian would start a service of its own at once, so only CI installs it."""
    return find_program("slapd", "apt-get install slapd")


@contextmanager
def directory(home: Path) -> Iterator[Directory]:
    """Run a directory with users."""
    find_slapd()
    home.mkdir(parents=True, exist_ok=True)
    certify(home, "server", "subjectAltName=IP:127.0.0.1")
    (home / "data").mkdir()
    includes = "\n".join(f"include {_SCHEMA}/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
    config = _CONFIG.format(includes=includes, directory=home, searcher=SEARCHER, base=BASE)
    (home / "slapd.conf").write_text(f"modulepath /usr/lib/ldap\n{config}")
    slapadd = find_program("slapadd", "apt-get install slapd")
    subprocess.run([slapadd, "-f", home / "slapd.conf"], input=_ENTRIES.encode(), check=True, capture_output=True)
    running = Directory(home)
    running.start()
    try:
        yield running
    finally:
        running.stop()
