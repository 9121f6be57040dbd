"""What a configuration without mistakes does that its author may not expect: one sentence each, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from zotpy.config.access import reads_claims
from zotpy.config.logins import Values, auth_settings
from zotpy.settings import GcSettings, MirrorSettings, RetentionSettings, UploadSettings

HOLD_PER_DEADLINE = 0.9
"""A request is held for less than the deadline after which it may not write what relies on what it has read."""


def uncached(cache: Mapping[str, Any]) -> Iterator[str]:
    """Say which of the given settings of the cache have no effect beside the others."""
    if cache.get("directory") is not None and cache.get("memory_bytes"):
        yield "cache.memory has no effect: the cache is in cache.directory"
    if cache.get("directory") is None and "size_bytes" in cache:
        yield "cache.size has no effect: name a directory in cache.directory, or set cache.memory instead"


def polled(mirror: MirrorSettings) -> Iterator[str]:
    """Say that a replica copies nothing that no client asked for, and which registries are not mirrored at all."""
    if mirror.polled:
        yield (
            "extensions.sync.registries has pollInterval, and a replica does not copy by itself: let a timer or a"
            " CronJob run `zotpy sync --due`"
        )
    for each in mirror.registries:
        if mirror.enable and not each.on_demand and each.poll_interval_s is None:
            yield f"extensions.sync.registries: nothing is mirrored from {each.urls[0]}: set onDemand or pollInterval"


def unlocked(values: Values) -> Iterator[str]:
    """Say that settings of logins lock nothing, also if all of them are left out."""
    if "auth" in values and not auth_settings(values).has_login:
        is_ruled = values.get("http", {}).get("access") is not None
        what = "what http.accessControl grants to anonymous callers" if is_ruled else "everything"
        yield f"http.auth has no login, so everybody may do {what}: name a file of users in http.auth.htpasswd.path"


def claimless(values: Values) -> Iterator[str]:
    """Say that no caller has what conditions read."""
    access = values.get("http", {}).get("access")
    if access is not None and not auth_settings(values).all_issuers and reads_claims(access):
        yield (
            "http.accessControl has conditions on req.claims, and no login brings claims: only tokens of an issuer in"
            " http.auth.bearer.oidc or http.auth.openid have them"
        )


def raised(retention: RetentionSettings, gc: GcSettings) -> Iterator[str]:
    """Say which settings of retention count for more than they say."""
    if retention.policies and retention.delay_s < gc.grace_s:
        yield (
            f"storage.retention.delay is {retention.delay_s:g}s and counts as {gc.grace_s:g}s: it is never shorter than"
            " gcSettings.grace"
        )


def limited(upload: Mapping[str, Any], gc: GcSettings) -> Iterator[str]:
    """Say which given settings of uploads count for more or less than they say."""
    longest_s = HOLD_PER_DEADLINE * gc.deadline_s
    if (hold_s := upload.get("hold_timeout_s", 0.0)) > longest_s:
        yield (
            f"upload.holdTimeout is {hold_s:g}s and counts as {longest_s:g}s: it is never longer than nine tenths of"
            " gcSettings.deadline"
        )
    settings = UploadSettings(**upload)
    if "body_idle_timeout_s" in upload and settings.body_idle_timeout_s < settings.body_stall_timeout_s:
        yield (
            f"upload.bodyIdleTimeout is {settings.body_idle_timeout_s:g}s and counts as"
            f" {settings.body_stall_timeout_s:g}s: it is never shorter than upload.bodyStallTimeout"
        )
