"""Every setting of a replica with its default, by groups; `docs/configuration.md` says what each is for.

Each group is one dataclass, which all layers use. `zotpy.config` reads them from a file and from the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zotpy.settings.access import AccessSettings, GrantSettings, RuleSettings
from zotpy.settings.agreed import GcSettings
from zotpy.settings.backend import S3Settings, StorageSettings, default_root
from zotpy.settings.cache import CacheSettings
from zotpy.settings.limits import ListSettings, ManifestSettings, UploadSettings
from zotpy.settings.logins import (
    AuthSettings,
    BearerSettings,
    ClaimTerm,
    ConditionSettings,
    IssuerSettings,
    LdapSettings,
    MtlsSettings,
    OpenidSettings,
    ProxyHeader,
    VariableSettings,
)
from zotpy.settings.mirror import MirroredContent, MirroredRegistry, MirroredTags, MirrorSettings
from zotpy.settings.replica import HttpSettings, Level, LogFormat, LogSettings, MetricsSettings
from zotpy.settings.retained import KeepTagsSettings, PolicySettings, RetentionSettings

__all__ = [
    "AccessSettings",
    "AuthSettings",
    "BearerSettings",
    "CacheSettings",
    "ClaimTerm",
    "ConditionSettings",
    "GcSettings",
    "GrantSettings",
    "HttpSettings",
    "IssuerSettings",
    "KeepTagsSettings",
    "LdapSettings",
    "Level",
    "ListSettings",
    "LogFormat",
    "LogSettings",
    "ManifestSettings",
    "MetricsSettings",
    "MirrorSettings",
    "MirroredContent",
    "MirroredRegistry",
    "MirroredTags",
    "MtlsSettings",
    "OpenidSettings",
    "PolicySettings",
    "ProxyHeader",
    "RetentionSettings",
    "RuleSettings",
    "S3Settings",
    "Settings",
    "Source",
    "StorageSettings",
    "UploadSettings",
    "VariableSettings",
    "default_root",
]
COLLECTIONS_PER_GRACE = 4


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings were read, so that they can be read again."""

    file: Path | None
    overrides: Mapping[str, object]
    """From the command line, by path."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one replica."""

    http: HttpSettings = field(default_factory=HttpSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    log: LogSettings = field(default_factory=LogSettings)
    upload: UploadSettings = field(default_factory=UploadSettings)
    gc: GcSettings = field(default_factory=GcSettings)
    manifest: ManifestSettings = field(default_factory=ManifestSettings)
    lists: ListSettings = field(default_factory=ListSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    mirror: MirrorSettings = field(default_factory=MirrorSettings)
    warnings: tuple[str, ...] = ()
    """What was configured and has no effect here. Each is one sentence that begins with the path."""
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def collection_interval_s(self) -> float:
        """How often the server collects by itself; 0: never.

        By default a server does so only with the embedded store, because nobody else does it there. It collects as
        often as the two steps of a collection need.
        """
        if self.gc.interval_s is not None:
            return self.gc.interval_s
        is_embedded = self.storage.s3 is None or self.storage.s3.disk is not None
        return self.gc.grace_s / COLLECTIONS_PER_GRACE if is_embedded else 0.0

    @property
    def pull_interval_s(self) -> float | None:
        """How often the notes about pulls are written; `None`: no retention rule needs them."""
        return self.gc.pull_interval_s if self.retention.needs_pulls else None
