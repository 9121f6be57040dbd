"""`GET` and `POST /zot/auth/token`: any login in, a short token out (Docker's token specification, and RFC 6749).

GET takes what a request may carry: a name and a password, a token of another issuer, a client certificate, or nothing.
POST is a form of OAuth 2: `grant_type=password` with `username` and `password`, or `refresh_token`. As in zot, a form
may have a token of another issuer instead. The answer is the same for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from zotpy.auth.actions import Action
from zotpy.auth.basic import LONGEST_NAME_BYTES, Credentials
from zotpy.auth.conditions import HOPED
from zotpy.auth.permission import Identity, Permission
from zotpy.auth.scopes import CATALOG, EVERYTHING, ON_REPOSITORIES, REGISTRY, REPOSITORY, Access, Scope, read_scopes
from zotpy.auth.tokens import Tokens
from zotpy.concurrency import in_turns
from zotpy.core.errors import NameInvalid, Unauthorized
from zotpy.core.names import RepositoryName
from zotpy.http.server.response import Response
from zotpy.web.answers import json_answer
from zotpy.web.bodies import read_whole
from zotpy.web.call import Call
from zotpy.web.challenges import TOKEN_PATH
from zotpy.web.errors import FormInvalid, FormTooLong
from zotpy.web.login import Login
from zotpy.web.routes import Route

LONGEST_FORM_BYTES = 64 * 1024
MOST_FIELDS = 64
MOST_SCOPES = 64
LONGEST_TOKEN_BYTES = 12 * 1024
"""Proxies pass on heads of about 16 KiB."""
HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}
TOKEN_FIELDS = ("id_token", "access_token", "token")
"""Where a form may have a token of another issuer, beside `password` and `refresh_token`. The first one counts."""
Form = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Desk:
    """Gives tokens."""

    login: Login
    tokens: Tokens[Any]

    @property
    def routes(self) -> tuple[Route, ...]:
        """The rows of the endpoint. It asks by itself who the caller is."""
        return (
            Route("GET", TOKEN_PATH, self.by_query, needs=None),
            Route("POST", TOKEN_PATH, self.by_form, needs=None),
        )

    async def by_query(self, call: Call) -> Response:
        """Answer docker's GET. `offline_token=true` asks for a refresh token besides."""
        asked = call.request.args.by_name
        identity = await self._caller(call)
        refresh = self.tokens.issue_refresh(identity) if _is_true(asked, "offline_token") else None
        return await self._answer(call, identity, asked, refresh)

    async def by_form(self, call: Call) -> Response:
        """Answer OAuth 2's POST. `access_type=offline` asks for a refresh token besides."""
        form = await _read_form(call)
        grant_type = _first(form, "grant_type")
        if grant_type == "refresh_token" or (not grant_type and _first(form, "refresh_token")):
            text = _first(form, "refresh_token")
            if (renewed := await self.tokens.refresh(text)) is not None:
                return await self._answer(call, renewed, form, text)
            identity = await self._bearer(text)
        elif grant_type == "password" or (not grant_type and _first(form, "password")):
            identity = await self.login.identify(replace(_credentials(form), client=call.request.reached.client))
        elif not grant_type:
            shown = next(filter(None, (_first(form, name) for name in TOKEN_FIELDS)), "")
            identity = await (self._bearer(shown) if shown else self._caller(call))
        else:
            msg = "this grant_type is not known: write password or refresh_token"
            raise FormInvalid(msg)
        is_asked = _first(form, "access_type") == "offline" or _is_true(form, "offline_token")
        refresh = self.tokens.issue_refresh(identity) if is_asked else None
        return await self._answer(call, identity, form, refresh)

    async def _bearer(self, token: str) -> Identity:
        """Return who has a token of another issuer."""
        return _exchangeable(await self.login.read(token))

    async def _caller(self, call: Call) -> Identity:
        """Return who calls."""
        return _exchangeable(await self.login.caller(call.request))

    async def _answer(self, call: Call, identity: Identity, asked: Form, refresh: str | None) -> Response:
        """Write the tokens. Raises `Unauthorized` if the caller may not even ask whether the registry is there.

        Conditions of rules are judged at each request that brings the token, so here they are taken for fulfilled.
        """
        permission = self.login.grant(identity, HOPED)
        permission.require(Action.CONNECT, None)
        scopes = list(read_scopes(asked.get("scope", ())))
        if len(scopes) > MOST_SCOPES:
            msg = f"the request asks for {len(scopes)} scopes, and a token has at most {MOST_SCOPES}: ask for fewer"
            raise FormInvalid(msg)
        granted = [each for each in await in_turns(scopes, partial(_granted, call, permission)) if each is not None]
        issued = self.tokens.issue(identity, granted)
        if len(issued.token) > LONGEST_TOKEN_BYTES:
            msg = f"the token would be longer than {LONGEST_TOKEN_BYTES} bytes: ask for fewer scopes at once"
            raise FormInvalid(msg)
        call.request.user, call.request.login, call.request.key = identity.name, identity.kind, identity.key
        issued_at = datetime.fromtimestamp(issued.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {
            "token": issued.token,
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in_s,
            "issued_at": issued_at,
            **({} if refresh is None else {"refresh_token": refresh}),
        }
        return json_answer(document, 200, HEADERS)


def _exchangeable(identity: Identity) -> Identity:
    """Return a caller who may get a token. One that is good for requests gets no other: else none would ever end."""
    if isinstance(identity.access, Access):
        msg = "an access token cannot be exchanged for another token: log in, or send a refresh token"
        raise Unauthorized(msg)
    return identity


def _granted(call: Call, permission: Permission, scope: Scope) -> Scope | None:
    """Return the part of a scope that the rules grant; `None`: nothing of it."""
    if scope.kind == REGISTRY:
        is_listed = scope.name == CATALOG and EVERYTHING in scope.actions and permission.allows(Action.CATALOG, None)
        return Scope(REGISTRY, CATALOG, (EVERYTHING,)) if is_listed else None
    try:
        repo = RepositoryName.parse(call.known(scope.name))
    except NameInvalid:
        return None
    asked = ON_REPOSITORIES if EVERYTHING in scope.actions else scope.actions
    actions = [each for each in asked if each in ON_REPOSITORIES and permission.allows(ON_REPOSITORIES[each], repo)]
    return Scope(REPOSITORY, repo.text, tuple(actions)) if actions else None


async def _read_form(call: Call) -> Form:
    """Read the form in the body. Raises `FormInvalid`, `FormTooLong`, `TooManyRequests`."""

    def too_long() -> FormTooLong:
        return FormTooLong(f"the form is longer than {LONGEST_FORM_BYTES} bytes: send a shorter one")

    body = await read_whole(call, LONGEST_FORM_BYTES, too_long)
    media_type = call.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if body and media_type != "application/x-www-form-urlencoded":
        msg = "the body is no form: send it as application/x-www-form-urlencoded"
        raise FormInvalid(msg)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        msg = f"the form cannot be read: send UTF-8, and at most {MOST_FIELDS} fields"
        raise FormInvalid(msg) from error


def _credentials(form: Form) -> Credentials:
    name, password = _first(form, "username"), _first(form, "password")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        msg = "the user name or the password is wrong: log in again"
        raise Unauthorized(msg)
    return Credentials(name, password.encode())


def _first(form: Form, name: str) -> str:
    return next(iter(form.get(name, ())), "")


def _is_true(form: Form, name: str) -> bool:
    return _first(form, name).lower() in {"true", "1"}
