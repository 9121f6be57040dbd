"""`/zot/auth/apikey`: users make, list and revoke their API keys, with the words of zot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from zotpy.auth.actions import Action
from zotpy.auth.key_scopes import KeyScopes
from zotpy.bucket.api_keys import ApiKeys
from zotpy.bucket.key_uses import KeyUses
from zotpy.core.api_keys import ApiKey, digest_of, new_key, read_id
from zotpy.core.errors import Denied
from zotpy.core.json_objects import read_object
from zotpy.http.server.response import Response
from zotpy.web.answers import json_answer
from zotpy.web.bodies import read_whole
from zotpy.web.call import Call
from zotpy.web.errors import FormInvalid, FormTooLong, KeyUnknown
from zotpy.web.routes import Route

PATH = "/zot/auth/apikey"
LONGEST_BODY_BYTES = 8 * 1024
LONGEST_LABEL, LONGEST_CREATOR = 256, 256
NEVER = "0001-01-01T00:00:00Z"
HEADERS = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class KeyDesk:
    """Makes, lists and revokes keys."""

    api_keys: ApiKeys
    uses: KeyUses
    most: int
    """How many keys an owner may have."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def routes(self) -> tuple[Route, ...]:
        """The rows of the endpoint."""
        return (
            Route("POST", PATH, self.make, needs=Action.KEYS),
            Route("GET", PATH, self.show, needs=Action.KEYS),
            Route("DELETE", PATH, self.revoke, needs=Action.KEYS),
        )

    async def make(self, call: Call) -> Response:
        """POST: make a key with a label, scopes and an end. The answer alone has the key.

        A CI job gets none: a thief of its token, which is good for a moment, would have access for as long as they
        like.
        """
        if call.identity.is_job:
            msg = "the token of a CI job cannot make an API key, which would outlive the job: let the job get a refresh"
            msg += " token, or make the key as a user"
            raise Denied(msg)
        asked, now, who = await _read_body(call), self.clock().replace(microsecond=0), call.identity
        scopes, expires = _scopes(asked), _expires(asked, now)
        label = asked.get("label", "")
        if not isinstance(label, str) or len(label) > LONGEST_LABEL:
            msg = f"the label is no text of at most {LONGEST_LABEL} characters: write one"
            raise FormInvalid(msg)
        if len(await self.api_keys.of_owner(who.name, self.most)) >= self.most:
            msg = f"{who.name} has {self.most} API keys, which is the limit: revoke one first"
            raise Denied(msg)
        creator = call.request.headers.get("User-Agent", "")[:LONGEST_CREATOR]
        key = new_key(who.name)
        api_key = ApiKey(digest_of(key), who.name, who.groups, label, scopes, now, expires, creator)
        await self.api_keys.add(api_key)
        return json_answer({**_shown(api_key, now, None), "apiKey": key}, 201, HEADERS)

    async def show(self, call: Call) -> Response:
        """GET: list the keys of the caller and when each was last used, without the keys themselves."""
        found = await self.api_keys.of_owner(call.identity.name, self.most)
        used, now = await self.uses.of_owner(call.identity.name), self.clock()
        ordered = sorted(found, key=lambda each: (each.created, each.uuid))
        return json_answer({"apiKeys": [_shown(each, now, used.get(each.key_id)) for each in ordered]}, 200, HEADERS)

    async def revoke(self, call: Call) -> Response:
        """DELETE: revoke the key `?id=` of the caller."""
        if not (text := call.request.args.get("id", "")):
            msg = "the request does not say which API key to revoke: add ?id= with its uuid"
            raise FormInvalid(msg)
        key_id = read_id(text)
        if key_id is None or not await self.api_keys.revoke(call.identity.name, key_id):
            msg = f"{call.identity.name} has no API key with this id"
            raise KeyUnknown(msg)
        await self.uses.forget(call.identity.name, key_id)
        return json_answer({}, 200, HEADERS)


async def _read_body(call: Call) -> Mapping[str, Any]:
    def too_long() -> FormTooLong:
        return FormTooLong(f"the body is longer than {LONGEST_BODY_BYTES} bytes: send a shorter one")

    body = await read_whole(call, LONGEST_BODY_BYTES, too_long)
    try:
        return read_object(body)
    except ValueError as error:
        msg = f"the body {error}: send an object with label, scopes and expirationDate"
        raise FormInvalid(msg) from error


def _scopes(asked: Mapping[str, Any]) -> tuple[str, ...]:
    scopes = asked.get("scopes") or []
    if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes):
        msg = "scopes is no list of texts: write one, or leave it out for all rights of the owner"
        raise FormInvalid(msg)
    try:
        KeyScopes.parse(scopes)
    except ValueError as error:
        raise FormInvalid(str(error)) from error
    return tuple(scopes)


def _expires(asked: Mapping[str, Any], now: datetime) -> datetime | None:
    text = asked.get("expirationDate") or NEVER
    if text == NEVER:
        return None
    try:
        expires = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        msg = "expirationDate is no time: write one of RFC 3339 such as 2030-01-31T12:00:00Z"
        raise FormInvalid(msg) from error
    if expires.tzinfo is None:
        msg = "expirationDate has no time zone: write one of RFC 3339 such as 2030-01-31T12:00:00Z"
        raise FormInvalid(msg)
    if expires <= now:
        msg = "expirationDate has passed: write a later time, or leave it out"
        raise FormInvalid(msg)
    return expires


def _shown(api_key: ApiKey, now: datetime, used: datetime | None) -> dict[str, object]:
    return {
        "createdAt": _time(api_key.created),
        "expirationDate": NEVER if api_key.expires is None else _time(api_key.expires),
        "isExpired": api_key.has_expired(now),
        "creatorUa": api_key.creator,
        "generatedBy": "manual",
        "lastUsed": NEVER if used is None else _time(used.replace(microsecond=0)),
        "label": api_key.label,
        "scopes": list(api_key.scopes),
        "uuid": api_key.uuid,
    }


def _time(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
