"""The settings of zotpy: how each is read, and which must not be empty.

`zotpy.config.zot_only` has what a file of zot may hold besides.
"""

from dataclasses import dataclass

from zotpy.config.access import read_access_control
from zotpy.config.certificates import (
    read_identity_attributes,
    read_proxy_header,
    read_tls_version,
    read_uri_pattern,
)
from zotpy.config.issuers import read_issuers
from zotpy.config.mirrors import read_mirrors
from zotpy.config.openid import read_openid
from zotpy.config.places import read_address, read_bucket, read_endpoint, read_networks, read_origin
from zotpy.config.policies import read_policies
from zotpy.config.quantities import (
    read_between,
    read_count,
    read_duration,
    read_session,
    read_share,
    read_size,
    read_wait,
    read_window,
    read_workers,
)
from zotpy.config.values import (
    Reader,
    read_any_text,
    read_audit_output,
    read_choice,
    read_file,
    read_flag,
    read_log_output,
    read_metrics_path,
    read_optional_file,
    read_optional_text,
    read_path,
    read_prefix,
    read_realm,
    read_text,
)
from zotpy.core.units import KIB, MIB

DRIVER = "storage.storageDriver"
LARGEST_PART_BYTES = 5 * 1024 * MIB
"""S3's bounds for a part are 5 MiB and 5 GiB."""
LONGEST_EXPIRY_S = 7 * 86400
"""S3's bound for a presigned URL."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: the field of the dataclass of one section, and how its value is read."""

    section: str
    field: str
    read: Reader


LEAVES = {
    "http.address": Leaf("http", "address", read_address),
    "http.port": Leaf("http", "port", read_count(0, 65535)),
    "http.tls.cert": Leaf("http", "tls_cert", read_file),
    "http.tls.key": Leaf("http", "tls_key", read_file),
    "http.tls.cacert": Leaf("http", "tls_ca", read_file),
    "http.tls.minVersion": Leaf("http", "tls_min_version", read_tls_version),
    "http.auth.htpasswd.path": Leaf("auth", "htpasswd", read_file),
    "http.auth.failDelay": Leaf("auth", "fail_delay_s", read_between(0, 30)),
    "http.auth.checksAtOnce": Leaf("auth", "checks_at_once", read_count(1, 64)),
    "http.auth.checksPerClient": Leaf("auth", "checks_per_client", read_count(1, 10_000)),
    "http.auth.checksWaiting": Leaf("auth", "checks_waiting", read_count(1, 10_000)),
    "http.auth.remember": Leaf("auth", "remember_s", read_wait),
    "http.auth.ldap.address": Leaf("ldap", "address", read_text),
    "http.auth.ldap.port": Leaf("ldap", "port", read_count(1, 65535)),
    "http.auth.ldap.insecure": Leaf("ldap", "insecure", read_flag),
    "http.auth.ldap.startTLS": Leaf("ldap", "start_tls", read_flag),
    "http.auth.ldap.skipVerify": Leaf("ldap", "skip_verify", read_flag),
    "http.auth.ldap.caCert": Leaf("ldap", "ca_cert", read_optional_file),
    "http.auth.ldap.baseDN": Leaf("ldap", "base_dn", read_text),
    "http.auth.ldap.userAttribute": Leaf("ldap", "user_attribute", read_text),
    "http.auth.ldap.userFilter": Leaf("ldap", "user_filter", read_any_text),
    "http.auth.ldap.userGroupAttribute": Leaf("ldap", "group_attribute", read_any_text),
    "http.auth.ldap.subtreeSearch": Leaf("ldap", "subtree_search", read_flag),
    "http.auth.ldap.credentialsFile": Leaf("ldap", "credentials", read_optional_file),
    "http.auth.ldap.connections": Leaf("ldap", "connections", read_count(1, 64)),
    "http.auth.ldap.timeout": Leaf("ldap", "timeout_s", read_duration),
    "http.auth.ldap.remember": Leaf("ldap", "remember_s", read_wait),
    "http.auth.bearer.cert": Leaf("bearer", "key", read_file),
    "http.auth.bearer.realm": Leaf("bearer", "realm", read_realm),
    "http.auth.bearer.service": Leaf("bearer", "service", read_realm),
    "http.auth.bearer.issuer": Leaf("bearer", "issuer", read_text),
    "http.auth.bearer.oidc": Leaf("auth", "issuers", read_issuers),
    "http.auth.openid": Leaf("auth", "openid", read_openid),
    "http.auth.apikey": Leaf("auth", "apikey", read_flag),
    "http.auth.apiKeysPerUser": Leaf("auth", "api_keys_per_user", read_count(1, 1000)),
    "http.auth.tokenLifetime": Leaf("auth", "token_lifetime_s", read_between(60, 3600)),
    "http.auth.sessionLifetime": Leaf("auth", "session_lifetime_s", read_session),
    "http.externalUrl": Leaf("http", "external_url", read_origin),
    "http.auth.mtls.identityAttributes": Leaf("mtls", "identity_attributes", read_identity_attributes),
    "http.auth.mtls.uriSanPattern": Leaf("mtls", "uri_pattern", read_uri_pattern),
    "http.auth.mtls.uriSanIndex": Leaf("mtls", "uri_index", read_count(0, 99)),
    "http.auth.mtls.dnsSanIndex": Leaf("mtls", "dns_index", read_count(0, 99)),
    "http.auth.mtls.emailSanIndex": Leaf("mtls", "email_index", read_count(0, 99)),
    "http.auth.mtls.proxyHeader": Leaf("mtls", "proxy_header", read_proxy_header),
    "http.realm": Leaf("http", "realm", read_realm),
    "http.trustedProxies": Leaf("http", "trusted_proxies", read_networks),
    "http.drainTimeout": Leaf("http", "drain_timeout_s", read_duration),
    "http.drainNotice": Leaf("http", "drain_notice_s", read_wait),
    "http.sendStallTimeout": Leaf("http", "send_stall_timeout_s", read_duration),
    "http.maxConnections": Leaf("http", "max_connections", read_count(16, 1_000_000)),
    "http.headTimeout": Leaf("http", "head_timeout_s", read_duration),
    "http.headMemory": Leaf("http", "head_memory_bytes", read_size(MIB)),
    "http.maxRanges": Leaf("http", "max_ranges", read_count(1, 4096)),
    "http.busyTimeout": Leaf("http", "busy_timeout_s", read_duration),
    "http.holdTimeout": Leaf("http", "hold_timeout_s", read_wait),
    "http.workers": Leaf("http", "workers", read_workers),
    "http.workerTimeout": Leaf("http", "worker_timeout_s", read_between(1, 3600)),
    "http.accessControl": Leaf("http", "access", read_access_control),
    "storage.rootDirectory": Leaf("storage", "root_directory", read_path),
    "storage.reservedSpace": Leaf("storage", "reserved", read_share),
    "storage.joinReads": Leaf("storage", "join_reads", read_flag),
    "storage.promisedLife": Leaf("storage", "promised_life_s", read_between(0, 10)),
    "storage.redirectBlobURL": Leaf("storage", "redirect_blob_url", read_flag),
    "storage.retention.dryRun": Leaf("retention", "dry_run", read_flag),
    "storage.retention.delay": Leaf("retention", "delay_s", read_wait),
    "storage.retention.policies": Leaf("retention", "policies", read_policies),
    f"{DRIVER}.name": Leaf("s3", "name", read_choice("s3")),
    f"{DRIVER}.region": Leaf("s3", "region", read_optional_text),
    f"{DRIVER}.regionendpoint": Leaf("s3", "endpoint", read_endpoint),
    f"{DRIVER}.bucket": Leaf("s3", "bucket", read_bucket),
    f"{DRIVER}.rootdirectory": Leaf("s3", "root_directory", read_prefix),
    f"{DRIVER}.forcepathstyle": Leaf("s3", "force_path_style", read_flag),
    f"{DRIVER}.usefipsendpoint": Leaf("s3", "use_fips_endpoint", read_flag),
    f"{DRIVER}.usedualstack": Leaf("s3", "use_dual_stack", read_flag),
    f"{DRIVER}.secure": Leaf("s3", "secure", read_flag),
    f"{DRIVER}.skipverify": Leaf("s3", "skip_verify", read_flag),
    f"{DRIVER}.cabundle": Leaf("s3", "ca_bundle", read_file),
    f"{DRIVER}.accesskey": Leaf("s3", "access_key", read_optional_text),
    f"{DRIVER}.secretkey": Leaf("s3", "secret_key", read_optional_text),
    f"{DRIVER}.sessiontoken": Leaf("s3", "session_token", read_optional_text),
    f"{DRIVER}.createbucket": Leaf("s3", "create_bucket", read_flag),
    f"{DRIVER}.redirect": Leaf("s3", "redirect", read_flag),
    f"{DRIVER}.redirectendpoint": Leaf("s3", "redirect_endpoint", read_endpoint),
    f"{DRIVER}.redirectexpiry": Leaf("s3", "redirect_expiry_s", read_between(1, LONGEST_EXPIRY_S)),
    "log.level": Leaf(
        "log",
        "level",
        read_choice("debug", "info", "warn", "error", trace="debug", warning="warn", fatal="error", panic="error"),
    ),
    "log.format": Leaf("log", "format", read_choice("auto", "json", "console")),
    "log.output": Leaf("log", "output", read_log_output),
    "log.audit": Leaf("log", "audit", read_audit_output),
    "log.auditPulls": Leaf("log", "audit_pulls", read_flag),
    "log.auditMemory": Leaf("log", "audit_memory_bytes", read_size(64 * KIB)),
    "cache.directory": Leaf("cache", "directory", read_path),
    "cache.size": Leaf("cache", "size_bytes", read_size(64 * MIB)),
    "cache.memory": Leaf("cache", "memory_bytes", read_size(0)),
    "upload.partSize": Leaf("upload", "part_size_bytes", read_size(5 * MIB, LARGEST_PART_BYTES)),
    "upload.partsInFlight": Leaf("upload", "parts_in_flight", read_count(1, 64)),
    "upload.memoryBudget": Leaf("upload", "memory_budget_bytes", read_size(0)),
    "upload.bodyStallTimeout": Leaf("upload", "body_stall_timeout_s", read_duration),
    "upload.bodyIdleTimeout": Leaf("upload", "body_idle_timeout_s", read_duration),
    "upload.holdTimeout": Leaf("upload", "hold_timeout_s", read_wait),
    "storage.gcTimeWindow": Leaf("gc", "time_window", read_window),
    "gcSettings.grace": Leaf("gc", "grace_s", read_duration),
    "gcSettings.deadline": Leaf("gc", "deadline_s", read_duration),
    "gcSettings.uploadTTL": Leaf("gc", "upload_ttl_s", read_duration),
    "gcSettings.interval": Leaf("gc", "interval_s", read_wait),
    "gcSettings.pullInterval": Leaf("gc", "pull_interval_s", read_duration),
    "gcSettings.callsPerSecond": Leaf("gc", "calls_per_second", read_count(1, 100_000)),
    "extensions.metrics.enable": Leaf("metrics", "enable", read_flag),
    "extensions.metrics.prometheus.path": Leaf("metrics", "path", read_metrics_path),
    "extensions.sync.enable": Leaf("mirror", "enable", read_flag),
    "extensions.sync.credentialsFile": Leaf("mirror", "credentials", read_optional_file),
    "extensions.sync.registries": Leaf("mirror", "registries", read_mirrors),
    "manifest.maxSize": Leaf("manifest", "max_size_bytes", read_size(4 * MIB)),
    "manifest.maxReferences": Leaf("manifest", "max_references", read_count(128, 20_000)),
    "manifest.maxValues": Leaf("manifest", "max_values", read_count(10_000, 1_000_000)),
    "manifest.maxTags": Leaf("manifest", "max_tags", read_count(10, 80)),
    "manifest.allowSparseIndexes": Leaf("manifest", "allow_sparse_indexes", read_flag),
    "lists.pageSize": Leaf("lists", "page_size", read_count(1, 10_000)),
    "lists.pageBytes": Leaf("lists", "page_bytes", read_size(128 * KIB, 3 * MIB)),
    "lists.annotations": Leaf("lists", "annotation_bytes", read_size(0, 64 * KIB)),
    "lists.referrersRead": Leaf("lists", "referrers_read", read_count(250, 100_000)),
    "lists.catalogRead": Leaf("lists", "catalog_read", read_count(1000, 10_000_000)),
}
"""Every setting, by its path."""

LOCKS = {
    "http.auth.htpasswd.path": "nobody would have to log in: name the file of users, or remove http.auth.htpasswd",
    "http.auth.ldap.address": "nobody would have to log in: name the server, or remove http.auth.ldap",
    "http.auth.bearer.cert": "no token would be asked for: name the file of the public key, or remove http.auth.bearer",
    "http.auth.bearer.oidc": "no token would be asked for: write a list of issuers, or remove it",
    "http.auth.openid": "nobody would have to log in: name a provider, or remove it",
    "http.tls.cacert": "no client would be asked for a certificate: name the file of authorities, or remove it",
    "http.accessControl": "every user could do everything: write the rules, or remove the setting",
}
"""Settings that must not be given empty, as by a template without a value, each with what would follow."""


def variable_of(path: str) -> str:
    """Name the environment variable that overrides a setting."""
    return "ZOTPY_" + path.replace(".", "_").upper()
