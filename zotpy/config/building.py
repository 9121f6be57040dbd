"""From values that are well-formed each to `Settings`, and the ways in which they contradict each other."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from zotpy.config.access import surprises
from zotpy.config.logins import Values, auth_settings, broken_logins, open_logins
from zotpy.config.remarks import HOLD_PER_DEADLINE, claimless, limited, polled, raised, uncached, unlocked
from zotpy.config.schema import DRIVER
from zotpy.core.units import size_text
from zotpy.settings import (
    CacheSettings,
    GcSettings,
    HttpSettings,
    ListSettings,
    LogSettings,
    ManifestSettings,
    MetricsSettings,
    MirrorSettings,
    RetentionSettings,
    S3Settings,
    Settings,
    Source,
    StorageSettings,
    UploadSettings,
    default_root,
)

GRACE_PER_DEADLINE = 10
PARTS_IN_BUDGET = 4


def build(
    values: Values, warnings: tuple[str, ...], environ: Mapping[str, str], source: Source | None = None
) -> Settings:
    """Put the settings together; the values must not contradict each other."""
    retention, gc = RetentionSettings(**values.get("retention", {})), GcSettings(**values.get("gc", {}))
    access, mirror = values.get("http", {}).get("access"), MirrorSettings(**values.get("mirror", {}))
    storage = {"root_directory": default_root(environ), **values.get("storage", {})}
    return Settings(
        http=HttpSettings(**values.get("http", {})),
        auth=auth_settings(values),
        storage=StorageSettings(**storage, s3=_s3(values["s3"], environ) if values.get("s3") else None),
        log=LogSettings(**values.get("log", {})),
        upload=counting(UploadSettings(**values.get("upload", {})), gc),
        gc=gc,
        cache=CacheSettings(**values.get("cache", {})),
        manifest=ManifestSettings(**values.get("manifest", {})),
        lists=ListSettings(**values.get("lists", {})),
        retention=retention,
        metrics=MetricsSettings(**values.get("metrics", {})),
        mirror=mirror,
        warnings=(
            *warnings,
            *raised(retention, gc),
            *limited(values.get("upload", {}), gc),
            *(surprises(access) if access is not None else ()),
            *unlocked(values),
            *claimless(values),
            *open_logins(values),
            *polled(mirror),
            *uncached(values.get("cache", {})),
        ),
        source=source,
    )


def counting(upload: UploadSettings, gc: GcSettings) -> UploadSettings:
    """Return the settings of uploads as they count beside the others; `limited` says which are others than given."""
    return replace(
        upload,
        hold_timeout_s=min(upload.hold_timeout_s, HOLD_PER_DEADLINE * gc.deadline_s),
        body_idle_timeout_s=max(upload.body_idle_timeout_s, upload.body_stall_timeout_s),
    )


def _s3(values: Mapping[str, Any], environ: Mapping[str, str]) -> S3Settings:
    """Make one URL of each endpoint and `secure`. Most services other than AWS know no bucket by its host name."""
    fields = {name: value for name, value in values.items() if name not in {"name", "secure"} and value is not None}
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region:
        fields.setdefault("region", region)
    scheme = "https" if values.get("secure", True) else "http"
    for name in {"endpoint", "redirect_endpoint"} & fields.keys():
        if "://" not in fields[name]:
            fields[name] = f"{scheme}://{fields[name]}"
    if "endpoint" in fields:
        fields.setdefault("force_path_style", True)
    return S3Settings(**fields)


def contradictions(values: Values, faulty: Collection[str]) -> Iterator[str]:
    """Say what does not go together, and pass over values that could not be read."""
    for paths, problem in (
        *_broken_rules(values),
        *broken_logins(values),
        *_missing_login(values),
        *_none_or_two_deciders(values),
    ):
        if not any(path in faulty for path in paths):
            yield f"{paths[0]}: {problem}"


def _missing_login(values: Values) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield a problem if there are rules for users, and nobody can say who they are."""
    access = values.get("http", {}).get("access")
    if access is not None and access.names_users and not auth_settings(values).has_login:
        problem = (
            "zotpy cannot find out who its clients are without a way to log in: configure one, or grant everything to"
            " anonymous callers, and nothing to users"
        )
        yield ("http.accessControl", "http.auth.htpasswd.path"), problem


def _none_or_two_deciders(values: Values) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield a problem if both this registry and its primary are to decide who may read, or neither does any more."""
    mirror = MirrorSettings(**values.get("mirror", {}))
    decides = auth_settings(values).has_login or values.get("http", {}).get("access") is not None
    if decides and mirror.primary is not None:
        problem = "with passCredentials, the upstream decides who may read: remove http.auth and http.accessControl"
        yield ("extensions.sync.registries",), problem
    if not decides and not mirror.enable and any(each.passes_credentials for each in mirror.registries):
        problem = "without the mirror its primary decides no more, and what was mirrored would be open to everybody:"
        problem += " set up http.auth, or remove passCredentials"
        yield ("extensions.sync.enable", "extensions.sync.registries"), problem


def _broken_rules(values: Values) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each broken rule: the paths that it is about, the one to correct first, and what to write."""
    http, s3 = values.get("http", {}), values.get("s3", {})
    upload, gc = UploadSettings(**values.get("upload", {})), GcSettings(**values.get("gc", {}))
    if ("tls_cert" in http) != ("tls_key" in http):
        yield ("http.tls", "http.tls.cert", "http.tls.key"), "cert and key go together"
    if s3 and "bucket" not in s3:
        yield (f"{DRIVER}.bucket",), "write the name of the bucket"
    for name, field in (("usefipsendpoint", "use_fips_endpoint"), ("usedualstack", "use_dual_stack")):
        if s3.get(field) and s3.get("endpoint"):
            problem = "only AWS has such an endpoint: remove regionendpoint, or remove this setting"
            yield (f"{DRIVER}.{name}", f"{DRIVER}.regionendpoint"), problem
    if (s3.get("access_key") is None) != (s3.get("secret_key") is None):
        yield (f"{DRIVER}.accesskey", f"{DRIVER}.secretkey"), "accesskey and secretkey go together"
    if s3.get("session_token") is not None and s3.get("access_key") is None:
        yield (
            (f"{DRIVER}.sessiontoken", f"{DRIVER}.accesskey"),
            "write accesskey and secretkey with it, or none of them",
        )
    least_budget, least_grace = PARTS_IN_BUDGET * upload.part_size_bytes, GRACE_PER_DEADLINE * gc.deadline_s
    if upload.memory_budget_bytes < least_budget:
        problem = f"write at least {size_text(least_budget)}, which is {PARTS_IN_BUDGET} times upload.partSize"
        yield ("upload.memoryBudget", "upload.partSize"), problem
    if gc.grace_s < least_grace:
        problem = f"write at least {least_grace:g}s, which is {GRACE_PER_DEADLINE} times gcSettings.deadline"
        yield ("gcSettings.grace", "gcSettings.deadline"), problem
    if gc.upload_ttl_s < gc.grace_s:
        problem = f"write at least {gc.grace_s:g}s, which is gcSettings.grace"
        yield ("gcSettings.uploadTTL", "gcSettings.grace"), problem
