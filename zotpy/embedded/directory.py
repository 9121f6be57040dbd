"""The directory of an embedded store.

<root>/
├── lock          held while a zotpy runs on this directory; holds its process id
├── keys.json     the key pair, in SeaweedFS's format; generated once
├── ports.json    the ports of the last run, used again where they are free
├── services.pem  the certificate that SeaweedFS's services ask each other for, with its key; generated once
├── security.toml what makes them ask; written at each start
├── filer.sock   where SeaweedFS's filer listens, and s3.sock its S3 service
├── weed.pid      process id of the SeaweedFS that runs, or ran last
├── weed.log      what it wrote since zotpy started
└── data/         all that lasts
"""

import fcntl
import json
import os
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zotpy.core.json_objects import read_object
from zotpy.embedded.errors import DirectoryInUseError, EmbeddedStoreError


@dataclass(frozen=True, slots=True)
class Directory:
    """The paths in the directory. Exists only while its lock is held."""

    root: Path

    @property
    def data(self) -> Path:
        """The folder that SeaweedFS keeps everything in."""
        return self.root / "data"

    @property
    def keys(self) -> Path:
        """The identities file that SeaweedFS reads."""
        return self.root / "keys.json"

    @property
    def ports(self) -> Path:
        """The ports of the last run."""
        return self.root / "ports.json"

    @property
    def certificate(self) -> Path:
        """The certificate of SeaweedFS's services, with its key."""
        return self.root / "services.pem"

    @property
    def security(self) -> Path:
        """The configuration that SeaweedFS finds where it runs."""
        return self.root / "security.toml"

    @property
    def filer_socket(self) -> Path:
        """The socket on which the filer takes requests without keys: only our user can reach it."""
        return self.root / "filer.sock"

    @property
    def pid(self) -> Path:
        """The process id of the last SeaweedFS."""
        return self.root / "weed.pid"

    @property
    def log(self) -> Path:
        """What SeaweedFS wrote."""
        return self.root / "weed.log"

    def last_log_lines(self, count: int = 15) -> str:
        """Return the end of the log, for an error message."""
        try:
            with self.log.open(errors="replace") as lines:
                return "".join(deque(lines, maxlen=count)).rstrip()
        except FileNotFoundError:
            return ""


@contextmanager
def locked(root: Path) -> Iterator[Directory]:
    """Make the directory if it is missing, and keep others from using it. Raises `EmbeddedStoreError`.

    The kernel drops the lock when the process ends, however it ends.
    """
    root = root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / "data").mkdir(mode=0o700, exist_ok=True)
        with suppress(PermissionError):  # another user's, who decides
            (root / "data").chmod(0o700)  # SeaweedFS makes some files in it readable by everyone
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = f"the data directory {root} cannot be used: {error.strerror}"
        raise EmbeddedStoreError(msg) from error
    try:
        _lock(descriptor, root)
        yield Directory(root)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        msg = (
            f"the data directory {root} is in use by the process {holder}: stop that one, or set storage.rootDirectory"
        )
        raise DirectoryInUseError(msg) from error
    except OSError as error:
        msg = f"the data directory {root} cannot be locked: {error.strerror}"
        raise EmbeddedStoreError(msg) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def key_pair(path: Path) -> tuple[str, str]:
    """Return the access key and the secret key, generated at the first call. Raises `EmbeddedStoreError`."""
    if not path.exists():
        credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identity = {"name": "zotpy", "credentials": [credentials], "actions": actions}
        write_private(path, json.dumps({"identities": [identity]}).encode())
    try:
        (credentials,) = read_object(path.read_bytes())["identities"][0]["credentials"]
        return str(credentials["accessKey"]), str(credentials["secretKey"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"the key file {path} cannot be read ({error}): remove it, and the next start makes another"
        raise EmbeddedStoreError(msg) from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and on the disk when this returns."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
