"""Checks of names and passwords: a few at a time, in threads, and each success is remembered for a while.

Hashes take long to check on purpose. So many wrong passwords must not take all threads, or all CPU time, and a client
that sends its password with each request must not pay each time. What is remembered is a keyed hash of name, password
and stored hash. So it tells nothing to a reader of the memory, and it counts no more once the user's hash has changed.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import trio

from zotpy.auth.background import Background
from zotpy.auth.basic import Credentials
from zotpy.auth.fair_turns import Turns
from zotpy.auth.hashes import PasswordHash
from zotpy.auth.htpasswd import Users
from zotpy.auth.login_places import Places
from zotpy.auth.permission import Identity
from zotpy.auth.remembered_passwords import Remembered

KIND = "htpasswd"


@dataclass(slots=True)
class PasswordChecks:
    """Checks credentials against the users that there are at that moment."""

    users: Callable[[], Users]
    at_once: int
    """How many threads check at the same time."""
    waiting: int
    """How many requests may be checked or wait for that."""
    remember_s: float
    per_client: int | None = None
    """How many of these may be of one client; `None`: all."""
    _places: Places = field(init=False)
    _turns: Turns = field(init=False)
    _background: Background = field(init=False)
    _remembered: Remembered[Identity] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._places = Places(self.waiting, self.waiting if self.per_client is None else self.per_client)
        self._turns = Turns(self.at_once)
        self._background = Background(self.at_once)
        self._remembered = Remembered(self.remember_s)

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return the user, if these are good: see `zotpy.auth.authenticator.Authenticator`."""
        if (known := self._recall(credentials)) is not None:
            return known
        with self._places.place_for(credentials.client):
            return await self._check(credentials)

    def note(self, identity: Identity) -> Mapping[str, object]:
        """Note which hash the user has: see `zotpy.auth.authenticator.Renewer`."""
        stored = self.users().hashes.get(identity.name)
        return {"hash": "" if stored is None else _fingerprint(stored)}

    async def renew(self, identity: Identity, noted: Mapping[str, object]) -> Identity | None:
        """Return the user, if they exist and have the same password."""
        stored = self.users().hashes.get(identity.name)
        is_same = stored is not None and noted.get("hash") == _fingerprint(stored)
        return Identity(identity.name, kind=KIND) if is_same else None

    async def are_good(self, credentials: Credentials) -> bool:
        """Say whether the user exists and has this password.

        A user who does not exist costs as much as one who does. Raises `TooManyRequests` if too many others are being
        checked, or too many of this client, unless these credentials were good a while ago.
        """
        return await self.identify(credentials) is not None

    async def _check(self, credentials: Credentials) -> Identity | None:
        async with self._turns.turn_for(credentials.client):
            if (known := self._recall(credentials)) is not None:  # by another connection of the same client
                return known
            users = self.users()
            stored = users.hashes.get(credentials.name)
            tried = stored or self._decoy(users, credentials.name)
            fits = tried is not None and await self._try(tried, credentials.password)
        if stored is None or not fits:
            return None
        identity = Identity(credentials.name, kind=KIND)
        self._remembered.keep(identity, *_asked(credentials, stored))
        return identity

    async def _try(self, tried: PasswordHash, password: bytes) -> bool:
        """Check a password in a thread of low priority.

        A thread that holds Python's lock must not be slow to give it back, so it keeps its priority.
        """
        if tried.holds_interpreter:
            return await trio.to_thread.run_sync(tried.fits, password, limiter=trio.CapacityLimiter(1))
        return await self._background.run(partial(tried.fits, password))

    def _decoy(self, users: Users, name: str) -> PasswordHash | None:
        """Return a hash to check for a user who does not exist: always the same one for the same name."""
        hashes = list(users.hashes.values())
        return hashes[int.from_bytes(self._remembered.mac(name.encode())[:8], "big") % len(hashes)] if hashes else None

    def _recall(self, credentials: Credentials) -> Identity | None:
        """Return the user, if these were good a while ago, and the user still has this hash."""
        stored = self.users().hashes.get(credentials.name)
        return None if stored is None else self._remembered.renew(*_asked(credentials, stored))


def _fingerprint(stored: PasswordHash) -> str:
    """Return what changes with the hash. Nobody can try passwords by it who does not know the salt."""
    return hashlib.sha256(stored.text.encode()).hexdigest()[:32]


def _asked(credentials: Credentials, stored: PasswordHash) -> tuple[bytes, bytes, bytes]:
    return credentials.name.encode(), stored.text.encode(), credentials.password
