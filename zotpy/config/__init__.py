"""What the configuration file and the environment say, checked, with zot's names where zot has the same."""

from zotpy.config.errors import ConfigError
from zotpy.config.loading import load_settings

__all__ = ["ConfigError", "load_settings"]
