"""The file of logins at other registries, as `zotpy verify` and a start look at it before anything needs it."""

from dataclasses import replace

from zotpy.config import ConfigError
from zotpy.settings import MirrorSettings, Settings


def with_upstream_logins(settings: Settings) -> Settings:
    """Return the settings with a warning for each login that has no effect. Raises `ConfigError` for an unusable file.

    Only what mirrors reads this file. So other commands work without it, and none of them looks at it.
    """
    if settings.mirror.credentials is None or not settings.mirror.enable:
        return settings
    return replace(settings, warnings=(*settings.warnings, *_remarks(settings.mirror)))


def _remarks(mirror: MirrorSettings) -> list[str]:
    from zotpy.upstream.credentials_file import (  # noqa: PLC0415 - half a second that most configurations do without
        read_credentials_file,
        without_use,
    )

    assert mirror.credentials is not None  # noqa: S101 - the caller has looked
    try:
        logins = read_credentials_file(mirror.credentials)
    except ValueError as error:
        raise ConfigError([f"extensions.sync.credentialsFile: {error}"]) from None
    urls = [url for registry in mirror.registries for url in registry.urls]
    known = ", ".join(urls) or "none"
    return [
        f"extensions.sync.credentialsFile: the login for {name} has no effect: no urls of extensions.sync.registries"
        f" name this host; the addresses are {known}"
        for name in without_use(logins, urls)
    ]
