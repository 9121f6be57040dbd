"""How callers say who they are: `http.auth`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern
from typing import Literal

ProxyHeader = Literal["Client-Cert", "X-Forwarded-Client-Cert"]


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """`http.auth.ldap`: the directory of users, and how to find one of them."""

    address: str
    """A host name or an IP address."""
    base_dn: str
    user_attribute: str
    port: int | None = None
    """`None`: 389 if `insecure`, otherwise 636."""
    insecure: bool = False
    """Do not begin with TLS."""
    start_tls: bool = False
    """If `insecure`, ask for TLS by StartTLS, and send nothing else before it."""
    skip_verify: bool = False
    ca_cert: Path | None = None
    """The authorities to trust, PEM. `None`: the system's."""
    user_filter: str = ""
    group_attribute: str = ""
    """Its values are the user's groups; empty: the directory says none."""
    subtree_search: bool = False
    """Look at everything below `base_dn`, not only one level."""
    credentials: Path | None = None
    """JSON with `bindDN` and `bindPassword`. `None`: search as nobody."""
    connections: int = 4
    """How many logins are asked for at the same time, 1 to 64."""
    timeout_s: float = 5.0
    """How long a login may wait and take, all in all."""
    remember_s: float = 60.0
    """How long a good password is remembered; 0: not at all."""


@dataclass(frozen=True, slots=True)
class MtlsSettings:
    """`http.auth.mtls`: who has a client certificate."""

    identity_attributes: tuple[str, ...] = ("commonname",)
    """Where the name is looked for, in this order: `commonname`, `subject`, `email`, `uri` or `dnsname`."""
    uri_pattern: Pattern[str] | None = None
    """The first group is the name; `None`: all of the URI is."""
    uri_index: int = 0
    dns_index: int = 0
    email_index: int = 0
    """Which of several names of that kind counts."""
    proxy_header: ProxyHeader | None = None
    """In which header trusted proxies pass on a certificate that they have verified; `None`: in none."""


@dataclass(frozen=True, slots=True)
class BearerSettings:
    """`http.auth.bearer`: an outside token service, or what the challenge says of this one."""

    key: Path | None = None
    """The file of the public key of an outside service. `None`: there is none."""
    realm: str = ""
    """Where clients get tokens; empty: here."""
    service: str = ""
    """What tokens call this registry; empty: its host name."""
    issuer: str = ""
    """What the tokens of an outside service must call it; empty: anything."""


@dataclass(frozen=True, slots=True)
class ClaimTerm:
    """A part of a user's name: the value of a claim, or a text as it stands."""

    text: str
    is_claim: bool = True


@dataclass(frozen=True, slots=True)
class VariableSettings:
    """A value that later expressions read as `vars.<name>`."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class ConditionSettings:
    """An expression in CEL that must be true, and what is said if it is not."""

    expression: str
    message: str


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """An issuer of tokens: an entry of `http.auth.bearer.oidc`, such as a CI service, or one of `http.auth.openid`."""

    issuer: str
    """Its URL, below which its discovery document is found. The claim `iss` must be the same."""
    audiences: frozenset[str]
    """The claim `aud` must have one of them."""
    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By the name of a claim, which values it may have."""
    username: tuple[ClaimTerm, ...] = (ClaimTerm("iss"), ClaimTerm("/", is_claim=False), ClaimTerm("sub"))
    """Together they are the user's name."""
    username_by: str = ""
    """An expression in CEL that is the user's name; empty: it is made of `username`."""
    groups: str = ""
    """The claim that lists the user's groups; empty: none does."""
    groups_by: str = ""
    """An expression in CEL that is the list of them; empty: `groups` counts."""
    variables: tuple[VariableSettings, ...] = ()
    """Evaluated in this order, before all else."""
    validations: tuple[ConditionSettings, ...] = ()
    """What the claims must fulfil."""
    authorities: str = ""
    """The authorities that its certificate may be of, in PEM; empty: the system's."""
    authorities_file: Path | None = None
    """The same, in a file."""
    client: str = ""
    """Only ID tokens for this client count; empty: any token for one of `audiences`."""


@dataclass(frozen=True, slots=True)
class OpenidSettings:
    """`http.auth.openid`: providers whose ID tokens are a login."""

    issuers: tuple[IssuerSettings, ...] = ()
    """Those that give ID tokens. Without any, this login lets nobody in."""
    idle: tuple[str, ...] = ()
    """Providers that give none, by their names in the file."""
    unused: tuple[str, ...] = ()
    """Names of settings in the file that only a login by browser needs."""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Which logins there are, and what checking them may cost."""

    htpasswd: Path | None = None
    """The file of users and hashes of their passwords. `None`: nobody is asked who they are."""
    fail_delay_s: float = 0.0
    """How long the answer to wrong credentials is held back."""
    checks_at_once: int = 2
    """How many passwords are checked at the same time, each in a thread, 1 to 64."""
    checks_per_client: int = 64
    """How many of the logins that wait, and of the refusals, may be of one client, 1 to 10,000."""
    checks_waiting: int = 256
    """How many logins may be checked or wait for that, and how many refusals may be held back, 1 to 10,000."""
    remember_s: float = 300.0
    """How long a good password is remembered after its latest use; 0: not at all."""
    ldap: LdapSettings | None = None
    mtls: MtlsSettings | None = None
    """`None`: nobody is known by a certificate."""
    bearer: BearerSettings = BearerSettings()
    issuers: tuple[IssuerSettings, ...] = ()
    """Whose tokens are a login."""
    openid: OpenidSettings | None = None
    """Also whose ID tokens. If it is given, callers must log in, even if none of its providers can be used."""

    apikey: bool = False
    """Whether users can make API keys, and log in with them."""
    api_keys_per_user: int = 100
    """How many keys a user may have, 1 to 1,000."""
    token_lifetime_s: float = 300.0
    """How long a token for requests lasts, 60 to 3,600."""
    session_lifetime_s: float = 12 * 3600.0
    """How long a refresh token lasts, up to a year; 0: none is given."""

    @property
    def has_login(self) -> bool:
        """Say whether there is any way to log in. Without one everybody may do everything."""
        return self.apikey or self.openid is not None or self.lets_anybody_in

    @property
    def lets_anybody_in(self) -> bool:
        """Say whether anybody can log in who has no API key yet."""
        kinds = (self.htpasswd, self.ldap, self.mtls, self.bearer.key)
        return bool(self.all_issuers) or any(each is not None for each in kinds)

    @property
    def all_issuers(self) -> tuple[IssuerSettings, ...]:
        """Whose tokens are a login, those of `openid` included."""
        return self.issuers + (self.openid.issuers if self.openid is not None else ())
