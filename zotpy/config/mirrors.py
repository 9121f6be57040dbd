"""`extensions.sync.registries`: which other registries are mirrored, in zot's words. It is judged key by key."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from zotpy.config.config_file import read_variable
from zotpy.config.errors import NestedProblems
from zotpy.config.foreign import asks
from zotpy.config.issuers import is_safe
from zotpy.config.login_services import NAMES, LoginServiceReading
from zotpy.config.policies import read_regex
from zotpy.config.quantities import read_between, read_count, read_duration
from zotpy.config.values import Reader, read_flag, read_path
from zotpy.core.globs import read_glob
from zotpy.settings.mirror import MirroredContent, MirroredRegistry, MirroredTags

MOST_REGISTRIES, MOST_URLS, MOST_CONTENT = 64, 8, 256
LONGEST_INTERVAL_S = 30 * 86400.0
LEAST_POLL_S = 60.0
_NAME = re.compile(r"(?:[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
_IGNORED = ("preserveDigest", "disableHTTP2", "maxIdleConnsPerHost")
"""What is so in any case: digests are preserved, and HTTP/1.1 is spoken."""
_REGISTRY: dict[str, tuple[str, Reader]] = {
    "tlsVerify": ("tls_verify", read_flag),
    "maxRetries": ("max_retries", read_count(0, 100)),
    "retryDelay": ("retry_delay_s", read_duration),
    "maxRetryDelay": ("max_retry_delay_s", read_duration),
    "manifestCheckInterval": ("check_interval_s", read_between(0, LONGEST_INTERVAL_S)),
    "reqConcurrent": ("requests_at_once", read_count(1, 1000)),
    "syncTimeout": ("timeout_s", read_duration),
    "onlySigned": ("only_signed", read_flag),
    "passCredentials": ("passes_credentials", read_flag),
    "syncLegacyCosignTags": ("cosign_tags", read_flag),
}
_KNOWN = (*_REGISTRY, *NAMES, *_IGNORED, "urls", "content", "certDir", "reqPerSec", "onDemand", "pollInterval")
T = TypeVar("T")


def read_mirrors(value: object) -> tuple[MirroredRegistry, ...]:
    """Read the list of registries; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        value = read_variable(value, "a list of registries")
    if not isinstance(value, list) or len(value) > MOST_REGISTRIES:
        msg = f"write a list of up to {MOST_REGISTRIES} registries"
        raise ValueError(msg)
    reading = _Reading()
    found = [reading.registry(each, f"[{number}]") for number, each in enumerate(value)]
    reading.judge_primary([each for each in found if each is not None and each.on_demand])
    if reading.problems:
        raise NestedProblems(reading.problems)
    return tuple(each for each in found if each is not None)


@dataclass(slots=True)
class _Reading(LoginServiceReading):
    """Reads registries, and notes each mistake with its path."""

    def registry(self, value: object, path: str) -> MirroredRegistry | None:
        """Read one of them; `None` if something is wrong with any."""
        parts = self._section(value, path, _KNOWN)
        fields: dict[str, Any] = {
            field: self._read(read, parts[name], f"{path}.{name}", default=None)
            for name, (field, read) in _REGISTRY.items()
            if name in parts
        }
        if asks(parts.get("reqPerSec")):
            fields["requests_per_second"] = self._read(_read_rate, parts["reqPerSec"], f"{path}.reqPerSec", default=1.0)
        if asks(parts.get("certDir")):
            fields["cert_dir"] = self._read(_read_directory, parts["certDir"], f"{path}.certDir", default=None)
        if "retry_delay_s" in fields and "max_retry_delay_s" not in fields:
            fields["max_retry_delay_s"] = fields["retry_delay_s"]
        content = [
            self._content(each, f"{path}.content[{number}]")
            for number, each in enumerate(self._list(parts.get("content"), f"{path}.content"))
        ]
        if len(content) > MOST_CONTENT:
            self._note(f"{path}.content", f"write at most {MOST_CONTENT}")
        if content:
            fields |= {"content": tuple(content), "has_content": True}
        urls = self._urls(parts.get("urls"), f"{path}.urls")
        is_on = self._read(read_flag, parts.get("onDemand", False), f"{path}.onDemand", default=False)
        self._polling(parts, path, fields)
        if (service := self.login_service(parts, path, urls)) is not None:
            fields["login_service"] = service
        registry = MirroredRegistry(urls, on_demand=is_on, **fields) if not self.problems else None
        if registry is not None and registry.passes_credentials:
            self._primary(registry, path)
        return registry

    def judge_primary(self, registries: Sequence[MirroredRegistry]) -> None:
        """Note a problem if a registry decides who may read, and another one is mirrored as well."""
        if len(registries) > 1 and any(each.passes_credentials for each in registries):
            self._note("", "with passCredentials, one registry decides who may read everything: mirror no other one")

    def _primary(self, registry: MirroredRegistry, path: str) -> None:
        """Note what does not go together with the credentials of callers."""
        if not registry.on_demand:
            self._note(f"{path}.passCredentials", "needs onDemand")
        if len(registry.urls) > 1 or not is_safe(registry.urls[0]):
            self._note(f"{path}.urls", "with passCredentials, write one https address")
        elif urlsplit(registry.urls[0]).path:  # it would be asked about `app`, and give what it has as `path/app`
            self._note(f"{path}.urls", "with passCredentials, names are those of the upstream: write no path")
        if not registry.tls_verify:
            self._note(f"{path}.tlsVerify", "with passCredentials, the certificate must be verified: see certDir")
        if any(each.destination or each.strip_prefix for each in registry.content):
            problem = "with passCredentials, names are those of the upstream: remove destination and stripPrefix"
            self._note(f"{path}.content", problem)

    def _polling(self, parts: dict[str, Any], path: str, fields: dict[str, Any]) -> None:
        """Read what `zotpy sync` needs."""
        if asks(parts.get("pollInterval")):
            read = read_between(LEAST_POLL_S, LONGEST_INTERVAL_S)
            interval_s = self._read(read, parts["pollInterval"], f"{path}.pollInterval", default=LEAST_POLL_S)
            fields["poll_interval_s"] = interval_s
            if "content" not in fields:
                self._note(f"{path}.pollInterval", 'name what to copy in content; for everything, write prefix: "**"')

    def _urls(self, value: object, path: str) -> tuple[str, ...]:
        listed = self._list(value, path)
        if not 0 < len(listed) <= MOST_URLS:
            self._note(path, f"write a list of 1 to {MOST_URLS} addresses such as https://registry.example.com")
        return tuple(self._read(_read_url, each, f"{path}[{number}]", default="") for number, each in enumerate(listed))

    def _content(self, value: object, path: str) -> MirroredContent:
        parts = self._section(value, path, ("prefix", "destination", "stripPrefix", "tags"))
        prefix = self._read(_read_pattern, parts.get("prefix", "**"), f"{path}.prefix", default="**")
        destination = self._read(_read_name, parts.get("destination", ""), f"{path}.destination", default="")
        strips = self._read(read_flag, parts.get("stripPrefix", False), f"{path}.stripPrefix", default=False)
        tags = self._section(parts.get("tags"), f"{path}.tags", ("regex", "excludeRegex", "semver"))
        read = {
            field: self._read(read_regex, tags[name], f"{path}.tags.{name}", default=None)
            for name, field in (("regex", "regex"), ("excludeRegex", "exclude_regex"))
            if tags.get(name)
        }
        semver = self._read(read_flag, tags.get("semver", False), f"{path}.tags.semver", default=False)
        return MirroredContent(prefix, destination, strips, MirroredTags(**read, semver=semver))

    def _read(self, read: Reader, value: object, path: str, *, default: T) -> T:
        """Read one value, and note what is wrong with it; then return the default."""
        try:
            return cast(T, read(value))
        except ValueError as error:
            self._note(path, str(error))
            return default


def _read_url(value: object) -> str:
    """Read the address of a registry: scheme, host and, if need be, port and path."""
    text = value.rstrip("/") if isinstance(value, str) else ""
    if text and "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        good = good and not (parts.query or parts.fragment or parts.username is not None) and text.isascii()
    except ValueError:
        good = False
    if not good:
        msg = "write an address such as https://registry.example.com, without a user, a query or a fragment"
        raise ValueError(msg)
    return text


def _read_pattern(value: object) -> str:
    """Read a pattern of names. A slash at its ends means nothing."""
    text = value.strip("/") if isinstance(value, str) else ""
    read_glob(text, "library/**")
    return text


def _read_name(value: object) -> str:
    """Read the beginning of names here: one or more components, or nothing."""
    text = value.strip("/") if isinstance(value, str) else "?"
    if text and not _NAME.fullmatch(text):
        msg = "write the beginning of a repository's name such as /docker.io, in lower case"
        raise ValueError(msg)
    return text


def _read_rate(value: object) -> float:
    """Read how many requests a second: more than 0."""
    try:
        rate = float(cast(Any, value))
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate <= 1e6:  # noqa: PLR2004 - a rate that limits nothing
        msg = f"{value!r} is not a number of requests in a second"
        raise ValueError(msg)
    return rate


def _read_directory(value: object) -> Path:
    path = read_path(value)
    if not path.is_dir():
        msg = f"the directory {path} does not exist"
        raise ValueError(msg)
    return path
