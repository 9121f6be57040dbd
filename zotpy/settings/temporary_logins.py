"""Where a login that lasts hours comes from: zot's `credentialHelper`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant


@dataclass(frozen=True, slots=True)
class OAuth2Settings:
    """zot's `oauth2CredentialHelper`: a service that exchanges an assertion for an access token."""

    token_url: str
    """With TLS, or on this machine."""
    assertion_file: Path | None = None
    """A JWT that somebody else writes anew; read for each exchange. Exactly one of the two files is given."""
    signing_file: Path | None = None
    """JSON that says how we sign an assertion for each exchange."""
    grant_type: str = CLIENT_CREDENTIALS
    """One of the three above (RFC 7523, sections 2.1 and 2.2; RFC 8693)."""
    client_id: str = ""
    client_secret_file: Path | None = None
    scopes: tuple[str, ...] = ()
    username: str = "<token>"
    """The name that goes with the token as a password."""
    audience: str = ""
    """For a token exchange: what the token is for."""
    subject_token_type: str = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 - the name of a type
    requested_token_type: str = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the same


LoginService = Literal["ecr", "gcp"] | OAuth2Settings
