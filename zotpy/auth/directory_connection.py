"""A connection to a directory service (LDAPv3, RFC 4511): bind, search, and TLS from the start or by StartTLS.

sansldap reads and writes the messages, and this module moves their bytes. So each wait ends when its caller is
cancelled, and no thread is left behind. A filter is a tree of values that never becomes text, so no user name can
change its meaning.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import sansldap
import trio
from sansldap import LDAPResultCode as Code

from zotpy.core.chains import refusal_of

LARGEST_ANSWER_BYTES = 1024 * 1024
"""What the answer to one request may take, such as an entry with all its groups."""
_MOST_ENTRIES = 2
"""Nobody needs a third entry to see that there is more than one."""
_NOT_THIS_USER = frozenset({
    Code.INVALID_CREDENTIALS,
    Code.INAPPROPRIATE_AUTHENTICATION,  # an entry without a password
    Code.CONSTRAINT_VIOLATION,  # locked, or too many attempts
    Code.INSUFFICIENT_ACCESS_RIGHTS,
    Code.UNWILLING_TO_PERFORM,  # how some servers say that an account is disabled
    Code.NO_SUCH_OBJECT,  # deleted since the search
    Code.INVALID_DN_SYNTAX,
})  # fmt: skip
Message = TypeVar("Message", bound=sansldap.LDAPMessage)


class DirectoryFailed(Exception):
    """The directory does not answer, or not as it should. The message is for operators."""


class ConnectionLost(DirectoryFailed):
    """The connection ended. If it was an old one, a new one may do."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a directory is, and how to talk to it."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """`None`: in the clear."""
    starts_plain: bool = False
    """Ask for TLS by StartTLS (RFC 4511, section 4.14), instead of at the first byte."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that was found, with the attributes that were asked for, names in lower case."""

    dn: str
    attributes: dict[str, tuple[str, ...]]


class DirectoryConnection:
    """One connection, for one request at a time. After an error or a cancellation it is good for nothing."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._session = sansldap.LDAPClient()

    @classmethod
    async def open(cls, server: Server) -> "DirectoryConnection":
        """Connect, and agree on TLS where it is wanted. Raises `DirectoryFailed`."""
        try:
            stream: trio.abc.Stream = await trio.open_tcp_stream(server.host, server.port)
        except OSError as error:
            raise DirectoryFailed(_reason(error)) from error
        try:
            if server.tls is None:
                return cls(stream)
            if server.starts_plain:
                await cls(stream).start_tls()
            secured = trio.SSLStream(stream, server.tls, server_hostname=server.host, https_compatible=True)
            await secured.do_handshake()
            return cls(secured)  # with nothing of what came before TLS, which anybody may have sent
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(stream)
            msg = f"TLS: {_reason_of_tls(error, server.host)}"
            raise DirectoryFailed(msg) from error
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def start_tls(self) -> None:
        """Ask the server for TLS on this connection. Raises `DirectoryFailed`."""
        number = self._session.extended_request(sansldap.ExtendedOperations.LDAP_START_TLS.value)
        answer, _ = await self._ask(number, sansldap.ExtendedResponse)
        _expect(answer.result, "StartTLS")

    async def bind(self, dn: str, password: str) -> bool:
        """Become the entry of that name, or anonymous with neither. `False`: not with this password.

        A name with an empty password would be no proof of anything (RFC 4513, section 5.1.2), so it never binds. Raises
        `DirectoryFailed`.
        """
        if dn and not password:
            return False
        answer, _ = await self._ask(self._session.bind_simple(dn, password), sansldap.BindResponse)
        if answer.result.result_code in _NOT_THIS_USER:
            return False
        _expect(answer.result, "bind")
        return True

    async def search(
        self, base: str, found_by: sansldap.LDAPFilter, attributes: Sequence[str], *, is_deep: bool
    ) -> list[Entry]:
        """Return the entries below `base` that a filter matches, two at most. Raises `DirectoryFailed`."""
        scope = sansldap.SearchScope.SUBTREE if is_deep else sansldap.SearchScope.ONE_LEVEL
        number = self._session.search_request(
            base, scope, size_limit=_MOST_ENTRIES, filter=found_by, attributes=list(attributes)
        )
        answer, others = await self._ask(number, sansldap.SearchResultDone)
        if answer.result.result_code is not Code.SIZE_LIMIT_EXCEEDED:  # such an answer has the two all the same
            _expect(answer.result, "search")
        return [_entry(each) for each in others if isinstance(each, sansldap.SearchResultEntry)]

    async def aclose(self) -> None:
        """Close it at once. The server sees the end of the connection, which means the same as an unbind."""
        await trio.aclose_forcefully(self._stream)

    async def _ask(self, number: int, last: type[Message]) -> tuple[Message, list[sansldap.LDAPMessage]]:
        """Send a request, and return the last message of its answer with those before it."""
        others: list[sansldap.LDAPMessage] = []
        received_bytes = 0
        try:
            await self._stream.send_all(self._session.data_to_send())
            while True:
                data = await self._stream.receive_some()
                received_bytes += len(data)
                if not data:
                    msg = "it has closed the connection"
                    raise ConnectionLost(msg)
                if received_bytes > LARGEST_ANSWER_BYTES:
                    msg = f"its answer is longer than {LARGEST_ANSWER_BYTES // 1024} KiB"
                    raise DirectoryFailed(msg)
                for message in self._session.receive(bytes(data)):
                    if isinstance(message, last) and message.message_id == number:
                        return message, others
                    others.append(message)
        except sansldap.ProtocolError as error:  # also its notice that it disconnects
            raise ConnectionLost(str(error)) from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost(_reason(error.__cause__ or error)) from error


def _entry(found: sansldap.SearchResultEntry) -> Entry:
    """Take an entry. A value that is no text, such as a picture, is left out."""
    attributes: dict[str, tuple[str, ...]] = {}
    for attribute in found.attributes:
        texts = [value.decode(errors="replace") for value in attribute.values]
        attributes[attribute.name.lower()] = tuple(text for text in texts if "\ufffd" not in text)
    return Entry(found.object_name, attributes)


def _expect(result: sansldap.LDAPResult, what: str) -> None:
    """Raise `DirectoryFailed` unless it went well."""
    if result.result_code is not Code.SUCCESS:
        words = f"{result.result_code.name.lower().replace('_', ' ')}: {result.diagnostics_message}".removesuffix(": ")
        msg = f"it refuses the {what}: {words}"
        raise DirectoryFailed(msg)


def _reason_of_tls(error: trio.BrokenResourceError, host: str) -> str:
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return refusal_of(error.__cause__, host, "http.auth.ldap.caCert")
    return _reason(error.__cause__ or error)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
