"""Who the bearer of a token is, by its claims: `claims` and `claimMapping` of an issuer in the configuration.

Names of claims and texts need no CEL. Everything else is an expression over `claims` and `vars`, as in zot. An
expression that fails refuses the token. The log says why, and the client is told nothing of it.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import structlog

from zotpy.auth.claims import Claims, Names, joined
from zotpy.auth.id_tokens import READ_BY_CHECKS, check_claims
from zotpy.auth.permission import Identity
from zotpy.cel.environments import of_claims
from zotpy.cel.expressions import Allowance, Expression, Failed
from zotpy.core.errors import TokenInvalid
from zotpy.settings import IssuerSettings

KIND = "oidc"
LONGEST_NAME = 512
MOST_GROUPS = 1000
LONGEST_GROUPS = 64 * 1024
"""Characters of all groups together that an expression makes."""

log = structlog.get_logger()


class ClaimMapping:
    """What the claims of one issuer mean. Its expressions are compiled once."""

    def __init__(self, settings: IssuerSettings) -> None:
        """Raise `ValueError`, `ModuleNotFoundError` if an expression cannot be compiled."""
        self.settings = settings
        self._variables = [(each.name, of_claims(each.expression)) for each in settings.variables]
        self._validations = [(of_claims(each.expression, "bool"), each.message) for each in settings.validations]
        self._username = of_claims(settings.username_by, "string") if settings.username_by else None
        self._groups = of_claims(settings.groups_by, "list") if settings.groups_by else None
        terms = [] if self._username else [term.text for term in settings.username if term.is_claim]
        expressions = [*(each for _, each in self._variables), *(each for each, _ in self._validations)]
        expressions += [each for each in (self._username, self._groups) if each is not None]
        plain = frozenset({"iss", "aud", *settings.claims, *terms, *([settings.groups] if settings.groups else [])})
        plain |= READ_BY_CHECKS if settings.client else frozenset()
        self.reads: Names = joined([plain, *(each.fields_of("claims") for each in expressions)])
        """The claims that decide who somebody is."""

    def identity(self, claims: Claims) -> Identity:
        """Return the user of these claims. Raises `TokenInvalid` if the configuration refuses such claims."""
        for name, values in self.settings.claims.items():
            if values.isdisjoint(texts_of(claims.values.get(name))):
                msg = f"the claim {name} of the token has no value that the configuration allows"
                raise TokenInvalid(msg)
        if self.settings.client:
            check_claims(self.settings, claims.values)
        return _Evaluation(self.settings, claims).identity(
            self._variables, self._validations, self._username, self._groups
        )


class _Evaluation:
    """One evaluation of all expressions."""

    def __init__(self, settings: IssuerSettings, claims: Claims) -> None:
        self._settings, self._claims = settings, claims
        self._vars: dict[str, Any] = {}
        self._allowance = Allowance()

    def identity(
        self,
        variables: list[tuple[str, Expression]],
        validations: list[tuple[Expression, str]],
        username: Expression | None,
        groups: Expression | None,
    ) -> Identity:
        """Return the user. Raises `TokenInvalid`."""
        place = ""
        try:
            for name, expression in variables:
                place = f"variables[{name}]"
                self._vars[name] = expression.value_of(self._input(expression), self._allowance)
            for index, (expression, message) in enumerate(validations):
                place = f"validations[{index}]"
                if not expression.yes_or_no(self._input(expression), self._allowance):
                    msg = f"the token is refused: {message}"
                    raise TokenInvalid(msg)
            place = "username"
            name = self._plain_name() if username is None else username.text_of(self._input(username), self._allowance)
            place = "groups"
            listed = self._plain_groups() if groups is None else self._listed(groups)
        except Failed as failed:
            issuer, where = self._settings.issuer, f"claimMapping.{place}"
            log.warning("claims_not_evaluated", issuer=issuer, where=where, reason=str(failed)[:500])
            _refuse("the registry cannot evaluate the claims of the token: its log says why", failed)
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            _refuse("the user name in the token is empty or too long, or cannot be shown")
        if len(listed) > MOST_GROUPS:
            _refuse(f"the token names more than {MOST_GROUPS} groups")
        return Identity(name, listed, KIND, claims=self._claims, is_job=not self._settings.client)

    def _input(self, expression: Expression) -> Mapping[str, Any]:
        """Return what an expression reads, and nothing else: the cost depends on how long it is."""
        given: dict[str, Any] = {"vars": self._vars}
        if "claims" in expression.variables:
            given["claims"] = self._claims.read_by(expression.fields_of("claims"))
        return given

    def _plain_name(self) -> str:
        terms = self._settings.username
        parts = [self._claims.values.get(term.text) if term.is_claim else term.text for term in terms]
        if not all(isinstance(part, str) and part for part in parts):
            _refuse("the token has no user name: a claim that it is made of is missing, or is no text")
        return "".join(map(str, parts))

    def _plain_groups(self) -> frozenset[str]:
        named = self._settings.groups
        return frozenset(texts_of(self._claims.values.get(named))) if named else frozenset()

    def _listed(self, groups: Expression) -> frozenset[str]:
        found = groups.texts_of(self._input(groups), self._allowance)
        if sum(map(len, found)) > LONGEST_GROUPS:
            msg = f"the groups have more than {LONGEST_GROUPS} characters"
            raise Failed(msg)
        return frozenset(found)


def texts_of(value: object) -> list[str]:
    """Return the texts that a claim has: one, or those of a list. A yes or no is `true` or `false`."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return [value] if isinstance(value, str) else []


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise TokenInvalid(message) from cause
