"""Settings: what the configuration file and the environment say, checked. They have zot's names if zot has them."""

from zotpy.config.errors import ConfigError
from zotpy.config.loading import load_settings
from zotpy.config.retention import KeepTagsSettings, PolicySettings, RetentionSettings
from zotpy.config.settings import (
    GcSettings,
    HttpSettings,
    ListSettings,
    LogSettings,
    ManifestSettings,
    MetricsSettings,
    S3Settings,
    Settings,
    StorageSettings,
    UploadSettings,
)

__all__ = [
    "ConfigError",
    "GcSettings",
    "HttpSettings",
    "KeepTagsSettings",
    "ListSettings",
    "LogSettings",
    "ManifestSettings",
    "MetricsSettings",
    "PolicySettings",
    "RetentionSettings",
    "S3Settings",
    "Settings",
    "StorageSettings",
    "UploadSettings",
    "load_settings",
]
