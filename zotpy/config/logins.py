"""From the values of `http.auth` to its settings, and what in them contradicts itself or is a risk."""

from collections.abc import Iterator, Mapping
from typing import Any

from zotpy.config.issuers import open_issuers
from zotpy.config.openid import tell
from zotpy.config.places import is_here
from zotpy.settings import AuthSettings, BearerSettings, LdapSettings, MtlsSettings

Values = Mapping[str, Mapping[str, Any]]
"""By section, then by field."""
_LDAP = "http.auth.ldap"
_MTLS = "http.auth.mtls"
_BEARER = "http.auth.bearer"
_NEEDED = {"address": "address", "base_dn": "baseDN", "user_attribute": "userAttribute"}
"""What a directory cannot be asked without."""


def auth_settings(values: Values) -> AuthSettings:
    """Put the settings of all logins together. One of which something is missing counts as none.

    With `http.auth.openid` users can make API keys, unless the file says otherwise, as in zot.
    """
    ldap, mtls = values.get("ldap", {}), values.get("mtls", {})
    shows_certificates = values.get("http", {}).get("tls_ca") is not None or mtls.get("proxy_header") is not None
    return AuthSettings(
        **{"apikey": "openid" in values.get("auth", {}), **values.get("auth", {})},
        ldap=LdapSettings(**ldap) if ldap.keys() >= _NEEDED.keys() else None,
        mtls=MtlsSettings(**mtls) if shows_certificates else None,
        bearer=BearerSettings(**values.get("bearer", {})),
    )


def broken_logins(values: Values) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each broken rule: the paths that it is about, the one to correct first, and what to write."""
    if ldap := values.get("ldap", {}):
        for field, name in _NEEDED.items():
            if field not in ldap:
                yield (f"{_LDAP}.{name}",), "it is missing: write it, or remove http.auth.ldap"
        if ldap.get("start_tls") and not ldap.get("insecure"):
            problem = "without insecure, TLS begins at the first byte: set insecure: true for StartTLS, or remove this"
            yield (f"{_LDAP}.startTLS", f"{_LDAP}.insecure"), problem
    yield from _broken_bearer(values)
    http, mtls = values.get("http", {}), values.get("mtls", {})
    if "tls_ca" in http and "tls_cert" not in http:
        yield ("http.tls.cacert", "http.tls.cert"), "without TLS no client shows a certificate: write cert and key, too"
    if mtls and auth_settings(values).mtls is None:
        problem = "no client shows a certificate: write http.tls.cacert, or http.auth.mtls.proxyHeader, or remove this"
        yield ("http.auth.mtls", "http.tls.cacert", f"{_MTLS}.proxyHeader"), problem
    networks = http.get("trusted_proxies", ())
    if mtls.get("proxy_header") is not None and not (networks and all(network.prefixlen for network in networks)):
        problem = (
            "anybody can send this header: name the networks of your proxies in http.trustedProxies, not all networks"
        )
        yield (f"{_MTLS}.proxyHeader", "http.trustedProxies"), problem


def _broken_bearer(values: Values) -> Iterator[tuple[tuple[str, ...], str]]:
    bearer = values.get("bearer", {})
    if "key" in bearer:
        for field in ("realm", "service"):
            if not bearer.get(field):
                yield (f"{_BEARER}.{field}", f"{_BEARER}.cert"), "the token service is known by it: write it"
    elif bearer and not values.get("auth", {}).get("issuers"):
        problem = (
            "no token could be checked: name the file of the token service's public key, or remove http.auth.bearer"
        )
        yield (f"{_BEARER}.cert", f"{_BEARER}.realm", f"{_BEARER}.service", f"{_BEARER}.issuer"), problem


def open_logins(values: Values) -> Iterator[str]:
    """Say which settings let others read or change what a login depends on."""
    auth = auth_settings(values)
    if auth.openid is not None:
        yield from tell(auth.openid)
        if not auth.lets_anybody_in:
            yield (
                "http.auth.openid is the only login, and none of its providers gives ID tokens, so nobody can log in:"
                " configure another provider or login, too"
            )
    elif auth.apikey and not auth.lets_anybody_in:
        yield "http.auth.apikey is the only login, so nobody can make a key: configure another login, too"
    yield from open_issuers(auth.all_issuers)
    if (ldap := auth.ldap) is None:
        return
    if ldap.insecure and not ldap.start_tls and not is_here(ldap.address):
        yield f"{_LDAP} sends passwords in the clear to {ldap.address}: remove insecure, or set startTLS to true"
    elif ldap.skip_verify and not is_here(ldap.address):
        yield f"{_LDAP}.skipVerify lets any server that poses as {ldap.address} read passwords: name a caCert"
