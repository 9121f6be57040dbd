"""Logins by a directory service, `http.auth.ldap`: whose entry has the name, and whether it binds with the password.

A login takes three requests on one connection: bind as the service account, search for the entry of the user, bind as
that entry. A few connections do this at the same time. Others wait, and not for long: nobody waits for a directory that
is down until their client gives up, and other kinds of logins never wait for it.
"""

import secrets
from collections.abc import Callable

import sansldap
import structlog
import trio

from zotpy.auth.account import Account
from zotpy.auth.basic import Credentials
from zotpy.auth.directory import ConnectionLost, DirectoryConnection, DirectoryFailed, Entry, Server
from zotpy.auth.hashes import LONGEST_PASSWORD_BYTES
from zotpy.auth.permission import Identity
from zotpy.auth.remembered import Remembered
from zotpy.core.errors import TooManyRequests, Unavailable
from zotpy.settings import LdapSettings

KIND = "ldap"
_RETRY_AFTER_S = 5

log = structlog.get_logger()


class Ldap:
    """The `zotpy.auth.authenticator.Authenticator` that asks a directory."""

    def __init__(self, settings: LdapSettings, account: Callable[[], Account], waiting: int) -> None:
        """`account` is called for each login. `waiting` is how many logins may be asked for or wait for that."""
        self._settings = settings
        self._account = account
        self._waiting = waiting
        self._under_way = 0
        self._limiter = trio.CapacityLimiter(settings.connections)
        self._idle: list[tuple[Server, DirectoryConnection]] = []
        self._remembered = Remembered[Identity](settings.remember_s)
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
        asked = credentials.name.encode(), credentials.password
        if (known := self._remembered.recall(*asked)) is not None:
            return known
        if self._under_way >= self._waiting:
            msg = "too many logins wait for the directory: try again"
            raise TooManyRequests(msg, retry_after_s=_RETRY_AFTER_S)
        self._under_way += 1
        try:
            with trio.fail_after(self._settings.timeout_s):
                async with self._limiter:
                    identity = self._remembered.recall(*asked) or await self._ask(credentials.name, password)
        except (DirectoryFailed, trio.TooSlowError) as error:
            log.error("ldap_failed", server=self._settings.address, reason=str(error) or "no answer in time")  # noqa: TRY400 - a matter of the server
            msg = "the directory of users does not answer as it should: try again later, or log in by another way"
            raise Unavailable(msg, retry_after_s=_RETRY_AFTER_S) from error
        finally:
            self._under_way -= 1
        if identity is not None:
            self._remembered.keep(identity, *asked)
        return identity

    async def _ask(self, name: str, password: str) -> Identity | None:
        """Ask on a connection that is open, if there is one. If it ended meanwhile, ask once more on a new one."""
        account = self._account()
        while self._idle:
            server, connection = self._idle.pop()
            if server is not account.server:  # its files have changed since
                await connection.aclose()
                continue
            try:
                return await self._log_in(connection, account, name, password)
            except ConnectionLost:
                await self.aclose()  # a server that starts again ends them all
        connection = await DirectoryConnection.open(account.server)
        return await self._log_in(connection, account, name, password)

    async def _log_in(
        self, connection: DirectoryConnection, account: Account, name: str, password: str
    ) -> Identity | None:
        """Do the three requests. The connection is kept for others if they went well."""
        try:
            entry = await self._find(connection, account, name)
            if entry is None:  # takes as many requests as a wrong password
                await connection.bind(f"cn={secrets.token_hex(8)},{self._settings.base_dn}", secrets.token_hex(8))
            is_good = entry is not None and await connection.bind(entry.dn, password)
        except BaseException:
            await connection.aclose()
            raise
        self._idle.append((account.server, connection))
        return self._identity(entry, name) if entry is not None and is_good else None

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


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
