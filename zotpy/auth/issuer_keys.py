"""The public keys of an issuer of tokens (OpenID Connect Discovery 1.0, RFC 7517).

Nobody asks the issuer before its first token is here, so a replica starts without it. Keys that are known go on
counting if the issuer is down. A key that is not known makes a replica ask again, but only once in a while: made-up
tokens cannot make it ask without end.
"""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import httpx
import structlog
import trio
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from zotpy.auth.login_places import Places
from zotpy.auth.public_key import LEAST_RSA_BITS, PublicKey
from zotpy.core.errors import Unavailable
from zotpy.core.json_objects import read_object
from zotpy.settings import IssuerSettings

DISCOVERY = "/.well-known/openid-configuration"
LONGEST_DOCUMENT_BYTES = 256 * 1024
MOST_KEYS = 32
TIMEOUT_S = 5.0
"""How long both documents may take together."""
ASK_AGAIN_S = 10.0
"""How long nobody asks again after an answer, or after none, whatever keys tokens name."""
FRESH_S = 300.0
"""How old keys may be before they are read again, while they go on counting."""

log = structlog.get_logger()


class IssuerFailed(Exception):
    """The issuer does not answer as it should."""


@dataclass(frozen=True, slots=True)
class _Known:
    key: PublicKey
    kid: str | None
    algorithm: str | None

    def may_have_signed(self, kid: str | None, algorithm: str) -> bool:
        return (kid is None or self.kid in {None, kid}) and self.algorithm in {None, algorithm}


def trust(settings: IssuerSettings) -> ssl.SSLContext:
    """Return which certificates an issuer may have. Raises `OSError`, `ValueError`."""
    if not settings.authorities and settings.authorities_file is None:
        return httpx.create_ssl_context()
    return ssl.create_default_context(cafile=settings.authorities_file, cadata=settings.authorities or None)


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str, tls: ssl.SSLContext, waiting: int) -> None:
        """Ask nobody yet. `waiting` is how many callers may wait for an answer of the issuer."""
        self.issuer = issuer
        self._tls = tls
        self._places = Places(waiting, waiting)
        self._lock = trio.Lock()
        self._known: Sequence[_Known] = ()
        self._read_at = self._asked_at = float("-inf")
        self._has_failed = False
        self._is_stale = trio.Event()

    @property
    def kids(self) -> frozenset[str | None]:
        """The ids of the keys that are known."""
        return frozenset(each.kid for each in self._known)

    async def find(self, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
        """Return the keys that may have signed a token; none: the issuer has no such key.

        Raises `Unavailable` if it does not answer, and `TooManyRequests` if too many wait for its answer.
        """
        if not (found := self._matching(kid, algorithm)):
            with self._places.place_for(""):
                async with self._lock:
                    if not self._matching(kid, algorithm) and trio.current_time() >= self._asked_at + ASK_AGAIN_S:
                        await self._ask()
            found = self._matching(kid, algorithm)
            if not found and self._has_failed:
                msg = f"the issuer {self.issuer} does not answer as it should: try again later"
                raise Unavailable(msg, retry_after_s=int(ASK_AGAIN_S))
        if trio.current_time() >= self._read_at + FRESH_S:
            self._is_stale.set()
        return found

    async def keep_current(self) -> None:
        """Read old keys again when they are used, so that those that the issuer has removed count no more."""
        while True:
            await self._is_stale.wait()
            async with self._lock:
                if trio.current_time() >= self._read_at + FRESH_S:
                    await self._ask()
            self._is_stale = trio.Event()
            await trio.sleep(ASK_AGAIN_S)

    def _matching(self, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
        return [each.key for each in self._known if each.may_have_signed(kid, algorithm)]

    async def _ask(self) -> None:
        """Read the keys. If that fails, log it: those that are known stay."""
        try:
            with trio.fail_after(TIMEOUT_S):
                self._known = await self._fetch()
        except (IssuerFailed, trio.TooSlowError) as error:
            self._has_failed = True
            log.error("issuer_failed", issuer=self.issuer, reason=str(error) or "no answer in time")  # noqa: TRY400 - a matter of the issuer
        else:
            self._has_failed = False
            self._read_at = trio.current_time()
            log.info("issuer_keys_read", issuer=self.issuer, keys=len(self._known))
        finally:
            self._asked_at = trio.current_time()

    async def _fetch(self) -> Sequence[_Known]:
        """Return the keys of today. Raises `IssuerFailed`."""
        try:
            async with httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT_S) as client:
                document = await _read_json(client, self.issuer.rstrip("/") + DISCOVERY)
                if document.get("issuer") != self.issuer:
                    _fail(f"its discovery document is of another issuer: {str(document.get('issuer'))[:200]}")
                url = document.get("jwks_uri")
                if not isinstance(url, str) or not _may_have_keys(urlsplit(url), self.issuer):
                    _fail("its discovery document names no place of keys, or one without TLS")
                found = list(_keys_of(await _read_json(client, url)))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            _fail(f"{type(error).__name__}: {error}", error)
        if not found:
            _fail("it has no key that signs tokens")
        return found


def _may_have_keys(place: SplitResult, issuer: str) -> bool:
    """Say whether keys are read there: with TLS, unless the issuer has none. Raises `ValueError` for a bad port."""
    secure = {("https", "https"), ("https", "http"), ("http", "http")}
    return place.port != 0 and (place.scheme, urlsplit(issuer).scheme) in secure


async def _read_json(client: httpx.AsyncClient, url: str) -> Mapping[str, Any]:
    """Read a document. Redirections are not followed. Raises `IssuerFailed`, `httpx.HTTPError`, `ValueError`."""
    content = bytearray()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers, follow_redirects=False) as answer:
        if answer.status_code != httpx.codes.OK:
            _fail(f"{url} is answered with status {answer.status_code}")
        async for piece in answer.aiter_raw():  # to its end, as httpx has no other clean one; the time is bounded
            if len(content) <= LONGEST_DOCUMENT_BYTES:
                content += piece
    if len(content) > LONGEST_DOCUMENT_BYTES:
        _fail(f"{url} is longer than {LONGEST_DOCUMENT_BYTES // 1024} KiB")
    try:
        return read_object(content)
    except ValueError as error:
        _fail(f"{url} {error}", error)


def _keys_of(document: Mapping[str, Any]) -> Iterator[_Known]:
    """Yield the keys of a set that can check signatures. Others may stand beside them."""
    listed = document.get("keys")
    for each in (listed if isinstance(listed, list) else [])[:MOST_KEYS]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        kid, algorithm = each.get("kid"), each.get("alg")
        if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
            continue
        try:
            key = JWKRegistry.import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        is_long = not isinstance(key, RSAKey) or key.public_key.key_size >= LEAST_RSA_BITS
        if isinstance(key, RSAKey | ECKey | OKPKey) and not key.is_private and is_long:
            yield _Known(key, kid, algorithm)


def _fail(reason: str, cause: Exception | None = None) -> NoReturn:
    raise IssuerFailed(reason) from cause
