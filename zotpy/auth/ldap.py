"""Logins by a directory service, `http.auth.ldap`: whose entry has the name, and whether it binds with the password.

A login takes three requests on one connection: bind as the service account, search for the entry of the user, bind as
that entry. A few connections do this at the same time. Others wait, and not for long: nobody waits for a directory that
is down until their client gives up, and other kinds of logins never wait for it.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import sansldap
import structlog
import trio

from zotpy.auth.account import Account
from zotpy.auth.basic import Credentials
from zotpy.auth.directory_connection import ConnectionLost, DirectoryConnection, DirectoryFailed, Entry, Server
from zotpy.auth.fair_turns import Turns
from zotpy.auth.hashes import LONGEST_PASSWORD_BYTES
from zotpy.auth.login_places import Places
from zotpy.auth.permission import Identity
from zotpy.auth.remembered_passwords import Remembered
from zotpy.core.errors import Unavailable
from zotpy.settings import LdapSettings

KIND = "ldap"
Job = Callable[[DirectoryConnection, Account], Awaitable[Identity | None]]
_RETRY_AFTER_S = 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RememberedUsers:
    """The users whose passwords were good a while ago.

    It is an `Authenticator` of its own, as it costs nothing to ask, and comes before those that compute.
    """

    _remembered: Remembered[Identity]

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who this is, if that is remembered."""
        return self._remembered.recall(*_asked(credentials))


class Ldap:
    """The `zotpy.auth.authenticator.Authenticator` that asks a directory, and its `Renewer`."""

    def __init__(
        self, settings: LdapSettings, account: Callable[[], Account], waiting: int, per_client: int | None = None
    ) -> None:
        """`account` is called for each login. `waiting` is how many logins may be asked for or wait for that.

        `per_client` is how many of them may be of one client.
        """
        self._settings = settings
        self._account = account
        self._places = Places(waiting, waiting if per_client is None else per_client)
        self._turns = Turns(settings.connections)
        self._idle: list[tuple[Server, DirectoryConnection]] = []
        self._remembered = Remembered[Identity](settings.remember_s)
        self.remembered = RememberedUsers(self._remembered)
        self._filter = sansldap.LDAPFilter.from_string(settings.user_filter) if settings.user_filter else None
        groups = [settings.group_attribute] if settings.group_attribute else []
        self._attributes = [settings.user_attribute, *groups]

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who this is, with their groups. `None`: the directory has no such user with such a password.

        Raises `TooManyRequests` if too many others wait, and `Unavailable` if the directory does not answer in time.
        """
        try:
            password = credentials.password.decode()
        except UnicodeDecodeError:  # passwords of LDAP are UTF-8
            return None
        if not credentials.name or not password or len(credentials.password) > LONGEST_PASSWORD_BYTES:
            return None
        asked = _asked(credentials)
        if (known := self._remembered.recall(*asked)) is not None:
            return known

        async def log_in(connection: DirectoryConnection, account: Account) -> Identity | None:
            if (meanwhile := self._remembered.recall(*asked)) is not None:
                return meanwhile
            entry = await self._find(connection, account, credentials.name)
            if entry is None:  # takes as many requests as a wrong password
                await connection.bind(f"cn={secrets.token_hex(8)},{self._settings.base_dn}", secrets.token_hex(8))
            is_good = entry is not None and await connection.bind(entry.dn, password)
            return self._identity(entry, credentials.name) if entry is not None and is_good else None

        identity = await self._ask(log_in, credentials.client)
        if identity is not None:
            self._remembered.keep(identity, *asked)
        return identity

    def note(self, identity: Identity) -> Mapping[str, object]:
        """Return what `renew` needs: nothing but the name."""
        del identity
        return {}

    async def renew(self, identity: Identity, noted: Mapping[str, object]) -> Identity | None:
        """Return the user with the groups of today. `None`: the directory has no such user any more.

        Raises as `identify`.
        """
        del noted

        async def look_up(connection: DirectoryConnection, account: Account) -> Identity | None:
            entry = await self._find(connection, account, identity.name)
            return None if entry is None else self._identity(entry, identity.name)

        return await self._ask(look_up)

    async def _ask(self, job: Job, client: str = "") -> Identity | None:
        """Do a job on a connection to the directory. Raises as `identify`."""
        try:
            with self._places.place_for(client), trio.fail_after(self._settings.timeout_s):
                async with self._turns.turn_for(client):
                    return await self._connected(job)
        except (DirectoryFailed, trio.TooSlowError) as error:
            log.error("ldap_failed", server=self._settings.address, reason=str(error) or "no answer in time")  # noqa: TRY400 - a matter of the server
            msg = "the directory of users does not answer as it should: try again later, or log in by another way"
            raise Unavailable(msg, retry_after_s=_RETRY_AFTER_S) from error

    async def _connected(self, job: Job) -> Identity | None:
        """Do a job on a connection that is open, if there is one. If it ended meanwhile, do it again on a new one."""
        account = self._account()
        while self._idle:
            server, connection = self._idle.pop()
            if server is not account.server:  # its files have changed since
                await connection.aclose()
                continue
            try:
                return await self._do(job, connection, account)
            except ConnectionLost:
                await self.aclose()  # a server that starts again ends them all
        return await self._do(job, await DirectoryConnection.open(account.server), account)

    async def _do(self, job: Job, connection: DirectoryConnection, account: Account) -> Identity | None:
        """Do a job, and keep the connection for others if that went well."""
        try:
            identity = await job(connection, account)
        except BaseException:
            await connection.aclose()
            raise
        self._idle.append((account.server, connection))
        return identity

    async def _find(self, connection: DirectoryConnection, account: Account, name: str) -> Entry | None:
        """Return the only entry of that name. Raises `DirectoryFailed`."""
        if not await connection.bind(account.dn, account.password):
            msg = f"it refuses the service account {account.dn}"
            raise DirectoryFailed(msg)
        settings = self._settings
        matches = sansldap.FilterEquality(settings.user_attribute, name.encode())
        wanted = sansldap.FilterAnd([matches] if self._filter is None else [matches, self._filter])
        found = await connection.search(settings.base_dn, wanted, self._attributes, is_deep=settings.subtree_search)
        if len(found) > 1:
            log.warning("ldap_user_is_not_unique", entries=[each.dn for each in found])
        return found[0] if len(found) == 1 and found[0].dn else None

    def _identity(self, entry: Entry, name: str) -> Identity:
        """Name the user as the directory does. To many of them `Alice`, `alice ` and `alicé` are the same name.

        Raises `DirectoryFailed` if the directory does not tell.
        """
        attribute = self._settings.user_attribute
        names = entry.attributes.get(attribute.lower(), ())
        known = names[0] if len(names) == 1 else next((each for each in names if _folded(each) == _folded(name)), "")
        if not known:  # else somebody might log in under the name of somebody else that the directory takes for theirs
            msg = f"{entry.dn} shows no {attribute} that is the user's name: let the service account read it"
            raise DirectoryFailed(msg)
        groups = entry.attributes.get(self._settings.group_attribute.lower(), ())
        return Identity(known, frozenset(groups), KIND)

    async def keep_connections(self) -> None:
        """Close the connections when cancelled."""
        try:
            await trio.sleep_forever()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            _, connection = self._idle.pop()
            await connection.aclose()


def _asked(credentials: Credentials) -> tuple[bytes, bytes]:
    return credentials.name.encode(), credentials.password


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
