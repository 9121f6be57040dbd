"""Which other registries are mirrored, on demand and by `zotpy sync`: `extensions.sync`, in zot's words."""

from dataclasses import dataclass
from pathlib import Path
from re import Pattern

from zotpy.settings.temporary_logins import LoginService


@dataclass(frozen=True, slots=True)
class MirroredTags:
    """Which tags of a repository are mirrored; all rules must hold."""

    regex: Pattern[str] | None = None
    """Found anywhere in the tag; `None`: in every tag."""
    exclude_regex: Pattern[str] | None = None
    """Not found anywhere in the tag."""
    semver: bool = False
    """The tag is a version by Semantic Versioning, with or without a `v`."""


@dataclass(frozen=True, slots=True)
class MirroredContent:
    """Which repositories of an upstream are mirrored, and what they are called here."""

    prefix: str = "**"
    """A pattern of the names at the upstream, without slashes at its ends (see `zotpy.core.globs`)."""
    destination: str = ""
    """What the names here begin with, without slashes at its ends; empty: with nothing more."""
    strip_prefix: bool = False
    """Whether the names here lack the directories that `prefix` begins with."""
    tags: MirroredTags = MirroredTags()


@dataclass(frozen=True, slots=True)
class MirroredRegistry:
    """One upstream, with mirrors of its own."""

    urls: tuple[str, ...]
    """The upstream and its mirrors, asked in this order. Each is http or https, without a slash at its end."""
    content: tuple[MirroredContent, ...] = (MirroredContent(),)
    """The first that a name fits counts."""
    tls_verify: bool = True
    cert_dir: Path | None = None
    """A directory as in docker's `certs.d`: `*.crt` are authorities, `*.cert` and `*.key` are our certificate."""
    max_retries: int = 2
    """How often a request that failed for the moment is sent again, 0 to 100."""
    retry_delay_s: float = 0.5
    max_retry_delay_s: float = 5.0
    check_interval_s: float = 0.0
    """How long a tag counts as unchanged after the upstream was asked for it, up to 30 days; 0: it is always asked."""
    requests_at_once: int = 3
    """How many requests one replica has under way at each host, 1 to 1,000."""
    requests_per_second: float | None = None
    """How many requests one replica begins at each host; `None`: as many as come."""
    timeout_s: float = 3 * 3600.0
    """How long the copy of one blob may take, or by `zotpy sync` of one tag."""
    on_demand: bool = True
    """Whether a replica fetches from it what clients ask for."""
    poll_interval_s: float | None = None
    """How often `zotpy sync` copies it; `None`: only if it is named."""
    has_content: bool = False
    """Whether `content` was given."""
    only_signed: bool = False
    """Whether images without a signature are not mirrored. Nobody asks whose a signature is."""
    cosign_tags: bool = True
    """Whether `zotpy sync` copies cosign's tags, such as `sha256-<hex>.sig`."""
    passes_credentials: bool = False
    """Whether callers may read here what it lets them read, by their own credentials. It is then the only one."""
    login_service: LoginService | None = None
    """What gives logins that last hours, instead of the file of credentials."""


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """All registries that are mirrored."""

    enable: bool = True
    registries: tuple[MirroredRegistry, ...] = ()
    """Asked in this order: the first that has the content wins."""
    credentials: Path | None = None
    """JSON with `username` and `password` of each host. `None`: nobody logs in at an upstream."""

    @property
    def mirrored(self) -> tuple[MirroredRegistry, ...]:
        """The registries to ask when a client asks; none if mirroring is turned off."""
        return tuple(each for each in self.registries if each.on_demand) if self.enable else ()

    @property
    def primary(self) -> MirroredRegistry | None:
        """The registry that decides who may read here; `None`: this one decides by itself."""
        return next((each for each in self.mirrored if each.passes_credentials), None)

    @property
    def polled(self) -> tuple[MirroredRegistry, ...]:
        """The registries that `zotpy sync` copies; none if mirroring is turned off."""
        return tuple(each for each in self.registries if each.poll_interval_s) if self.enable else ()
