"""From a YAML or JSON file and the environment to `Settings`; every problem is reported, each with its path."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zotpy.config.settings import (
    GcSettings,
    HttpSettings,
    LogSettings,
    ManifestSettings,
    S3Settings,
    Settings,
    StorageSettings,
    UploadSettings,
)
from zotpy.config.values import (
    Reader,
    read_choice,
    read_count,
    read_duration,
    read_flag,
    read_networks,
    read_optional_text,
    read_path,
    read_size,
    read_text,
)

_MIB = 2**20
_GRACE_PER_DEADLINE = 10
_PARTS_IN_BUDGET = 4
DRIVER = "storage.storageDriver"
LEAVES: dict[str, Reader] = {
    "http.address": read_text,
    "http.port": read_count(1, 65535),
    "http.tls.cert": read_path,
    "http.tls.key": read_path,
    "http.trustedProxies": read_networks,
    "http.drainTimeout": read_duration,
    "storage.rootDirectory": read_path,
    f"{DRIVER}.name": read_choice("s3"),
    f"{DRIVER}.region": read_text,
    f"{DRIVER}.regionendpoint": read_optional_text,
    f"{DRIVER}.bucket": read_text,
    f"{DRIVER}.rootdirectory": read_text,
    f"{DRIVER}.forcepathstyle": read_flag,
    f"{DRIVER}.secure": read_flag,
    f"{DRIVER}.skipverify": read_flag,
    f"{DRIVER}.accesskey": read_optional_text,
    f"{DRIVER}.secretkey": read_optional_text,
    f"{DRIVER}.sessiontoken": read_optional_text,
    f"{DRIVER}.createbucket": read_flag,
    "log.level": read_choice("debug", "info", "warn", "error", "fatal", "panic", "trace"),
    "log.format": read_choice("json", "console"),
    "log.output": read_path,
    "upload.partSize": read_size(5 * _MIB),
    "upload.partsInFlight": read_count(1, 64),
    "upload.memoryBudget": read_size(32 * _MIB),
    "upload.bodyStallTimeout": read_duration,
    "gcSettings.grace": read_duration,
    "gcSettings.deadline": read_duration,
    "manifest.maxSize": read_size(4 * _MIB),
    "manifest.allowSparseIndexes": read_flag,
}
"""Every setting, and how its value is read."""
WITHOUT_EFFECT = (
    "distSpecVersion",
    "extensions",
    "http.compat",
    "http.externalUrl",
    "http.ratelimit",
    "http.realm",
    "log.audit",
    "scheduler",
    "storage.cacheDriver",
    "storage.commit",
    "storage.dedupe",
    "storage.gc",
    "storage.gcDelay",
    "storage.gcInterval",
    "storage.gcMaxSchedulerDelay",
    "storage.remoteCache",
    "storage.retention",
    f"{DRIVER}.chunksize",
    f"{DRIVER}.encrypt",
    f"{DRIVER}.loglevel",
    f"{DRIVER}.multipartcopychunksize",
    f"{DRIVER}.v4auth",
)
"""Settings of zot that a file may have, and that change nothing here."""
_SILENT = frozenset({"distSpecVersion", "storage.dedupe", "storage.gc", "storage.remoteCache"})
_REFUSED = {
    "http.auth": "zotpy has no authentication of its own yet: put it in front, at the proxy",
    "http.accessControl": "zotpy has no access control of its own yet: put it in front, at the proxy",
}


class ConfigError(Exception):
    """The configuration cannot be used; `problems` names every path with what to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_settings(file: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read a file, if any, and the environment (`ZOTPY_HTTP_PORT` and the like). Raises `ConfigError`."""
    problems: list[str] = []
    warnings: list[str] = []
    values: dict[str, Any] = {}
    _collect(_read_file(file) if file is not None else {}, "", values, problems, warnings)
    for path, reader in LEAVES.items():
        variable = "ZOTPY_" + path.replace(".", "_").upper()
        if variable in environ:
            _take(path, variable, reader, environ[variable], values, problems)
    settings = None if problems else _build(values, problems, warnings)
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
        document = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError([f"{file}: {error.strerror}"]) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{file}: {' '.join(str(error).split())}"]) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError([f"{file}: write settings as names and values"])
    return document


def _collect(
    node: dict[str, Any], above: str, values: dict[str, Any], problems: list[str], warnings: list[str]
) -> None:
    """Walk the document; sections are the paths above known settings."""
    for name, value in node.items():
        path = f"{above}{name}"
        if path in LEAVES:
            _take(path, path, LEAVES[path], value, values, problems)
        elif path in WITHOUT_EFFECT:
            if path not in _SILENT:
                warnings.append(f"{path} has no effect in zotpy")
        elif path in _REFUSED:
            problems.append(f"{path}: {_REFUSED[path]}")
        elif any(leaf.startswith(f"{path}.") for leaf in LEAVES):
            if value is not None and not isinstance(value, dict):
                problems.append(f"{path}: write settings as names and values")
            else:
                _collect(value or {}, f"{path}.", values, problems, warnings)
        else:
            near = difflib.get_close_matches(path, [*LEAVES, *WITHOUT_EFFECT], 1)
            problems.append(f"{path}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))


def _take(path: str, name: str, reader: Reader, value: object, values: dict[str, Any], problems: list[str]) -> None:
    try:
        values[path] = reader(value)
    except ValueError as error:
        problems.append(f"{name}: {error}")


def _some(values: dict[str, Any], section: str, **names: str) -> dict[str, Any]:
    """Return the keyword arguments of those fields whose setting is there."""
    return {field: values[f"{section}.{name}"] for field, name in names.items() if f"{section}.{name}" in values}


def _build(values: dict[str, Any], problems: list[str], warnings: list[str]) -> Settings:
    http = HttpSettings(
        **_some(values, "http", address="address", port="port", trusted_proxies="trustedProxies"),
        **_some(values, "http", drain_timeout_s="drainTimeout", tls_cert="tls.cert", tls_key="tls.key"),
    )
    if (http.tls_cert is None) != (http.tls_key is None):
        problems.append("http.tls: cert and key go together")
    upload = UploadSettings(
        **_some(values, "upload", part_size_bytes="partSize", parts_in_flight="partsInFlight"),
        **_some(values, "upload", memory_budget_bytes="memoryBudget", body_stall_timeout_s="bodyStallTimeout"),
    )
    if upload.memory_budget_bytes < _PARTS_IN_BUDGET * upload.part_size_bytes:
        problems.append(f"upload.memoryBudget: write at least {_PARTS_IN_BUDGET} times upload.partSize")
    gc = GcSettings(**_some(values, "gcSettings", grace_s="grace", deadline_s="deadline"))
    if gc.grace_s < _GRACE_PER_DEADLINE * gc.deadline_s:
        problems.append(f"gcSettings.grace: write at least {_GRACE_PER_DEADLINE} times gcSettings.deadline")
    manifest = ManifestSettings(
        **_some(values, "manifest", max_size_bytes="maxSize", allow_sparse_indexes="allowSparseIndexes")
    )
    log = LogSettings(**_some(values, "log", level="level", format="format", output="output"))
    storage = StorageSettings(
        **_some(values, "storage", root_directory="rootDirectory"), s3=_build_s3(values, problems)
    )
    return Settings(http, storage, log, upload, gc, manifest, tuple(warnings))


def _build_s3(values: dict[str, Any], problems: list[str]) -> S3Settings | None:
    if not any(path.startswith(f"{DRIVER}.") for path in values):
        return None
    if not values.get(f"{DRIVER}.bucket"):
        problems.append(f"{DRIVER}.bucket: write the name of the bucket")
        return None
    fields = _some(values, DRIVER, bucket="bucket", region="region", force_path_style="forcepathstyle")
    fields |= _some(values, DRIVER, skip_verify="skipverify", access_key="accesskey", secret_key="secretkey")  # noqa: S106
    fields |= _some(values, DRIVER, session_token="sessiontoken", create_bucket="createbucket")  # noqa: S106
    fields |= _some(values, DRIVER, root_directory="rootdirectory")
    endpoint = values.get(f"{DRIVER}.regionendpoint")
    if endpoint is not None and "://" not in endpoint:
        endpoint = f"{'https' if values.get(f'{DRIVER}.secure', True) else 'http'}://{endpoint}"
    settings = S3Settings(**fields, endpoint=endpoint)
    if (settings.access_key is None) != (settings.secret_key is None):
        problems.append(f"{DRIVER}.accesskey: accesskey and secretkey go together")
    return settings
