"""Settings from files, variables and flags: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from zotpy.config import ConfigError, load_settings
from zotpy.config.access import read_access_control
from zotpy.config.policies import read_policies
from zotpy.config.schema import LEAVES, variable_of
from zotpy.config.zot_only import REFUSED, WITHOUT_EFFECT
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.settings import (
    ClaimTerm,
    IssuerSettings,
    MirroredRegistry,
    OpenidSettings,
    S3Settings,
    Settings,
    UploadSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Load = Callable[..., Settings]

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"
ZOT_FILE = """{
\t"distSpecVersion": "1.1.1",
\t"storage": {
\t\t"rootDirectory": "/tmp/zot",
\t\t"dedupe": true,
\t\t"gc": false,
\t\t"remoteCache": true,
\t\t"storageDriver": {
\t\t\t"name": "s3",
\t\t\t"rootdirectory": "/zot",
\t\t\t"region": "us-east-2",
\t\t\t"regionendpoint": "localhost:4566",
\t\t\t"bucket": "zot-storage",
\t\t\t"forcepathstyle": true,
\t\t\t"secure": false,
\t\t\t"skipverify": false,
\t\t\t"accesskey": "key",
\t\t\t"secretkey": "hush"
\t\t},
\t\t"cacheDriver": {"name": "dynamodb", "endpoint": "http://localhost:4566", "region": "us-east-2"}
\t},
\t"http": {"address": "0.0.0.0", "port": "8080", "auth": {"failDelay": 0}},
\t"log": {"level": "debug"}
}
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a document, written as YAML unless it is text already, in an environment of the test's own."""

    def _load(document: object = "", environ: Mapping[str, str] | None = None, **flags: str) -> Settings:
        file = tmp_path / "config"
        file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        return load_settings(file, environ or {"XDG_DATA_HOME": "/data"}, {f"http.{k}": v for k, v in flags.items()})

    return _load


def problems_of(load: Load, document: object, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return what is wrong with a document."""
    with pytest.raises(ConfigError) as raised:
        load(document, environ)
    return raised.value.problems


def s3(**settings: object) -> dict[str, Any]:
    """Return a document with an external bucket."""
    return {"storage": {"storageDriver": {"name": "s3", "bucket": "images", **settings}}}


def s3_settings(settings: Settings) -> S3Settings:
    """Return the external bucket's settings, which must be there."""
    assert settings.storage.s3 is not None
    return settings.storage.s3


def test_nothing_given_means_the_embedded_store() -> None:
    """Without a file every setting has its default, and data is in the directory of the desktop's rules."""
    settings = load_settings(None, {"XDG_DATA_HOME": "/data"})
    assert settings.storage.root_directory == Path("/data/zotpy")
    assert settings == dataclasses.replace(Settings(), storage=settings.storage)
    assert settings.storage.s3 is None
    assert load_settings(None, {}).storage.root_directory == Path.home() / ".local/share/zotpy"


def test_user_without_a_home_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom no list knows, as in a container or a service of systemd's, has settings like any other."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 3_999_999_999)
    assert load_settings(None, {}).storage.root_directory == Path("/var/lib/zotpy")


def test_a_file_of_zot_starts_as_it_is(load: Load) -> None:
    """A file written for zot, tabs and all, is accepted; what has no effect is a warning each."""
    settings = load(ZOT_FILE)
    assert settings.http.address == "0.0.0.0"  # noqa: S104 - what the file says
    assert settings.http.port == 8080
    assert settings.log.level == "debug"
    assert settings.storage.s3 == S3Settings(
        bucket="zot-storage",
        region="us-east-2",
        endpoint="http://localhost:4566",
        root_directory="zot",
        force_path_style=True,
        access_key="key",
        secret_key="hush",
    )
    named = [warning.partition(" ")[0] for warning in settings.warnings]
    assert named == [
        "distSpecVersion",
        "storage.dedupe",
        "storage.gc",
        "storage.remoteCache",
        "storage.cacheDriver",
        "http.auth",
    ]


def test_json_and_yaml_say_the_same(load: Load) -> None:
    """The format of a file is seen from its content."""
    document = {"http": {"port": 1234}, "upload": {"partSize": "16MiB"}}
    assert load(json.dumps(document)) == load(yaml.safe_dump(document))


def test_names_are_compared_without_case(load: Load) -> None:
    """As in zot, `accessKey` is `accesskey`."""
    settings = s3_settings(load({"Storage": {"storagedriver": {"Bucket": "b", "accessKey": "a", "SECRETKEY": "s"}}}))
    assert (settings.bucket, settings.access_key, settings.secret_key) == ("b", "a", "s")


def test_all_problems_are_reported_at_once(load: Load) -> None:
    """Every problem is told, with its path and what to write; nothing is told that follows from another problem."""
    document = {
        "http": {"prot": 80, "port": 99999, "tls": {"key": "/nowhere"}, "trustedProxies": ["10.0.0.1/8"]},
        "storage": {"storageDriver": {"name": "gcs", "buckte": "x", "accesskey": "a"}},
        "bucket": "x",
        "upload": {"partSize": "1MiB", "memoryBudget": "10MiB"},
        "gcSettings": {"grace": "1h", "deadline": "10x"},
        "manifest": 5,
        "log": {"level": "loud"},
    }
    assert problems_of(load, document, {"ZOTPY_UPLOAD_PARTSINFLIGHT": "many"}) == (
        "bucket: there is no such setting; did you mean storage.storageDriver.bucket?",
        "gcSettings.deadline: '10x' is not a duration: write seconds, or numbers with h, m, s or ms, such as 10m30s",
        "http.port: 99999 is not a whole number from 0 to 65535",
        "http.prot: there is no such setting; did you mean http.port?",
        "http.tls.key: the file /nowhere does not exist",
        "http.trustedProxies: 10.0.0.1/8 is a network with host bits set: write 10.0.0.0/8, or the address alone",
        "log.level: write debug, info, warn or error, not 'loud'",
        "manifest: write settings as names and values, such as maxSize",
        "storage.storageDriver.buckte: there is no such setting; did you mean storage.storageDriver.bucket?",
        "storage.storageDriver.name: write s3, not 'gcs'",
        "upload.partSize: 1MiB is too small: at least 5MiB",
        "ZOTPY_UPLOAD_PARTSINFLIGHT: 'many' is not a whole number from 1 to 64",
        "storage.storageDriver.bucket: write the name of the bucket",
        "storage.storageDriver.accesskey: accesskey and secretkey go together",
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"gcSettings": {"deadline": "3h"}}, "gcSettings.grace"),
        ({"gcSettings": {"uploadTTL": "23h"}}, "gcSettings.uploadTTL"),
        ({"upload": {"partSize": "200MiB"}}, "upload.memoryBudget"),
        ({"http": {"tls": {"cert": __file__}}}, "http.tls"),
        (s3(sessiontoken="t"), "storage.storageDriver.sessiontoken"),
        (s3(secretkey="s"), "storage.storageDriver.accesskey"),
        (s3(secretkey=5), "storage.storageDriver.secretkey"),
        (s3(regionendpoint="ftp://x"), "storage.storageDriver.regionendpoint"),
        (s3(regionendpoint="host:port"), "storage.storageDriver.regionendpoint"),
        (s3(regionendpoint="host", usefipsendpoint=True), "storage.storageDriver.usefipsendpoint"),
        (s3(regionendpoint="host", usedualstack="true"), "storage.storageDriver.usedualstack"),
        (s3(cabundle="/nowhere"), "storage.storageDriver.cabundle"),
        (s3(redirectendpoint="ftp://x"), "storage.storageDriver.redirectendpoint"),
        (s3(redirectexpiry="500ms"), "storage.storageDriver.redirectexpiry"),
        (s3(redirectexpiry="8d"), "storage.storageDriver.redirectexpiry"),
        (s3(secure="perhaps"), "storage.storageDriver.secure"),
        ({"storage": {"storageDriver": {"name": "s3"}}}, "storage.storageDriver.bucket"),
        ({"http": {"address": "a b"}}, "http.address"),
        ({"http": {"port": True}}, "http.port"),
        ({"http": {"trustedProxies": 5}}, "http.trustedProxies"),
        ({"http": {"drainTimeout": "0s"}}, "http.drainTimeout"),
        ({"http": {"workers": 65}}, "http.workers"),
        ({"http": {"workerTimeout": "500ms"}}, "http.workerTimeout"),
        ({"http": {"workerTimeout": "2h"}}, "http.workerTimeout"),
        ({"storage": {"promisedLife": "11s"}}, "storage.promisedLife"),
        ({"http": {"workers": False}}, "http.workers"),
        ({"http": {"workers": "many"}}, "http.workers"),
        ({"manifest": {"maxSize": "4MB"}}, "manifest.maxSize"),
        ({"manifest": {"maxSize": "8M"}}, "manifest.maxSize"),
        ({"upload": {"partSize": "6GiB"}}, "upload.partSize"),
        ("http: {port: 1}\nHTTP: {port: 2}", "http"),
        *(
            ({"extensions": {"metrics": {"prometheus": {"path": path}}}}, "extensions.metrics.prometheus.path")
            for path in ("", "/", "/v2", "/v2/x", "metrics", "/a/", "/a//b", "/a/../b", "/./a", "/a b", "/livez", 5)
        ),
        ({"extensions": {"metrics": {"enable": "perhaps"}}}, "extensions.metrics.enable"),
        ({"extensions": {"metric": {}}}, "extensions.metric"),
        ({"extensions": {"lint": {"mandatoryAnnotations": ["a"]}}}, "extensions.lint"),
        ({"extensions": {"lint": {"enable": "sure"}}}, "extensions.lint.enable"),
        (
            {"extensions": {"sync": {"registries": [{"urls": ["u"]}, {"urls": ["u"], "OnlySigned": "perhaps"}]}}},
            "extensions.sync.registries[1].onlySigned",
        ),
        ({"extensions": {"events": {"sinks": [{"type": "http", "address": "http://x"}]}}}, "extensions.events"),
        (
            {"extensions": {"events": {"enable": False, "sinks": [{"type": "nats"}]}}},
            "extensions.events.sinks[0].address",
        ),
        (
            {"extensions": {"events": {"sinks": [{"type": "kafka", "address": "x"}]}}},
            "extensions.events.sinks[0].type",
        ),
        ({"extensions": {"events": {"sinks": "x"}}}, "extensions.events.sinks"),
        ({"extensions": {"events": ["x"]}}, "extensions.events"),
        ({"storage": {"subPaths": {"/a": {"rootDirectory": "/elsewhere"}}}}, "storage.subPaths./a"),
        ({"storage": {"subPaths": {"/a": {"storageDriver": {"encrypt": True}}}}}, "storage.subPaths./a.storageDriver"),
        ({"storage": {"subPaths": {"/a": 5}}}, "storage.subPaths./a"),
        ({"storage": {"subPaths": [1]}}, "storage.subPaths"),
        (
            {"storage": {**s3()["storage"], "subPaths": {"/a": {"storageDriver": {"name": "s3", "bucket": "b"}}}}},
            "storage.subPaths./a",
        ),
        ({"storage": {**s3()["storage"], "subPaths": {"/a": {"rootDirectory": "/x"}}}}, "storage.subPaths./a"),
    ],
)
def test_what_cannot_be_is_refused(load: Load, document: object, path: str) -> None:
    """A value out of bounds, of the wrong kind, or at odds with another is one problem at its path."""
    (problem,) = problems_of(load, document)
    assert problem.startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["[1]", "a: b: c", '{"a": 1,}', '{"http": {}, "http": {}}', "a: 1\na: 2", "{" * 9999])
def test_a_file_that_cannot_be_read_is_named(load: Load, tmp_path: Path, text: str) -> None:
    """What is no JSON or YAML, or names a setting twice, is one problem that begins with the file's name."""
    (problem,) = problems_of(load, text)
    assert problem.startswith(f"{tmp_path / 'config'}: ")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"http": {"address": "http://0.0.0.0"}}, "http.address: 'http://0.0.0.0' is not an address: write one such"),
        ({"http": {"trustedProxies": ["proxy"]}}, "http.trustedProxies: 'proxy' is not a network: write one such as"),
        (
            s3(bucket="s3://images/a"),
            "storage.storageDriver.bucket: 's3://images/a' is not the name of a bucket: write",
        ),
        ({"upload": {"memoryBudget": "16MiB"}}, "upload.memoryBudget: write at least 32MiB, which is 4 times"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(load: Load, document: object, problem: str) -> None:
    """Each message says what is wrong, in the units of the file, and what to write instead."""
    (found,) = problems_of(load, document)
    assert found.startswith(problem)


def test_a_mistake_of_yaml_has_its_line(load: Load) -> None:
    """It is said with the place in the file and without the parser's own words for where it read."""
    (found,) = problems_of(load, "http:\n\tport: 1\n")
    assert ": line 2, column 1: this is not YAML: " in found
    assert "unicode string" not in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The file that is not there is the problem."""
    with pytest.raises(ConfigError, match=r"nowhere.yaml: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("path", REFUSED)
def test_protections_are_never_dropped_silently(load: Load, path: str) -> None:
    """What zot would lock or encrypt is refused; the same left empty or off is accepted."""

    def document(value: object) -> Any:
        for name in reversed(path.split(".")):
            value = {name: value}
        return value

    assert problems_of(load, document("x"))[0].startswith(f"{path}: ")
    for off in (None, False, "false", {}, {"htpasswd": {"path": ""}}):
        load(document(off))


def test_logins_are_read_from_zots_file(load: Load, tmp_path: Path) -> None:
    """The words are zot's. A file of users must exist."""
    users = tmp_path / "htpasswd"
    document = {"http": {"realm": "ours", "auth": {"htpasswd": {"path": str(users)}, "failDelay": 5}}}
    assert problems_of(load, document) == (f"http.auth.htpasswd.path: the file {users} does not exist",)
    users.touch()
    settings = load(document)
    assert (settings.auth.htpasswd, settings.auth.fail_delay_s, settings.http.realm) == (users, 5.0, "ours")
    assert settings.warnings == ()
    assert problems_of(load, {"http": {"auth": {"failDelay": 31}}}) == (
        "http.auth.failDelay: 31 is not from 0s to 30s",
    )
    assert problems_of(load, {"http": {"realm": "ä"}}) == ("http.realm: write printable letters of ASCII",)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"http": {"workerTimeout": "2h"}}, "http.workerTimeout: 2h is not from 1s to 1h"),
        ({"http": {"workerTimeout": 0}}, "http.workerTimeout: 0 is not from 1s to 1h"),
        ({"http": {"auth": {"sessionLifetime": "30s"}}}, "http.auth.sessionLifetime: 30s is not from 1m to 365d"),
        ({"http": {"auth": {"tokenLifetime": "61m"}}}, "http.auth.tokenLifetime: 61m is not from 1m to 1h"),
        (s3(redirectexpiry="8d"), "storage.storageDriver.redirectexpiry: 8d is not from 1s to 7d"),
    ],
)
def test_bounds_of_times_are_told_in_their_largest_unit(load: Load, document: object, problem: str) -> None:
    """An error names the bounds as a person would write them."""
    assert problem in problems_of(load, document)


@pytest.mark.parametrize("value", [None, "", {}, {"path": ""}, {"path": None}, {"PATH": ""}])
def test_a_lock_that_a_template_left_empty_is_refused(load: Load, value: object) -> None:
    """The registry would be open to everybody, although its file has a lock."""
    (problem,) = problems_of(load, {"http": {"auth": {"htpasswd": value}, "accessControl": {"adminPolicy": {}}}})
    assert problem.startswith("http.auth.htpasswd")
    assert "it is empty, so nobody would have to log in: name the file of users" in problem


def test_empty_rules_are_refused(load: Load) -> None:
    """Every user could do everything."""
    (problem,) = problems_of(load, {"http": {"auth": {"htpasswd": {"path": __file__}}, "accessControl": None}})
    assert problem.startswith("http.accessControl: it is empty, so every user could do everything")


def test_an_empty_variable_leaves_no_lock_open(load: Load) -> None:
    """It is refused where it would be the lock, and means nothing where the file has one."""
    empty = {"ZOTPY_HTTP_AUTH_HTPASSWD_PATH": "", "ZOTPY_HTTP_ACCESSCONTROL": ""}
    with pytest.raises(ConfigError) as refused:
        load_settings(None, empty)
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [*empty]
    locked = {"http": {"auth": {"htpasswd": {"path": __file__}}, "accessControl": {"adminPolicy": {}}}}
    assert load(locked, empty).http.access is not None
    emptied = {"http": {"auth": {"htpasswd": {"path": ""}}}}
    given = load(emptied, {"ZOTPY_HTTP_AUTH_HTPASSWD_PATH": __file__})
    assert (str(given.auth.htpasswd), given.warnings) == (__file__, ())


def test_settings_of_logins_alone_lock_nothing(load: Load) -> None:
    """As in zot the registry is then open, and says so."""
    (warning,) = load({"http": {"auth": {"failDelay": 5}}}).warnings
    assert warning.startswith("http.auth has no login, so everybody may do everything")


@pytest.mark.parametrize("path", WITHOUT_EFFECT)
def test_settings_of_zot_without_effect_are_warned_of(load: Load, path: str) -> None:
    """Each is accepted with any value, and named in one warning."""
    document: Any = {"any": {"thing": 1}}
    for name in reversed(path.split(".")):
        document = {name: document}
    (warning,) = load(document).warnings
    assert warning.startswith(f"{path} has no effect: ")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"extensions": {"lint": {"enable": False, "mandatoryAnnotations": ["a"]}}}, "extensions.lint"),
        ({"extensions": {"lint": {"enable": True}}}, "extensions.lint"),
        (
            {"extensions": {"events": {"enable": False, "sinks": [{"type": "http", "address": "x"}]}}},
            "extensions.events",
        ),
        ({"extensions": {"events": None}}, "extensions.events"),
        ({"storage": {"subPaths": {"/a": {"dedupe": False, "gc": True}}}}, "storage.subPaths"),
        ({"storage": {"rootDirectory": "/r", "subPaths": {"/a": {"rootDirectory": "/r"}}}}, "storage.subPaths"),
        (
            {"storage": {**s3()["storage"], "subPaths": {"/a": {"storageDriver": {"Name": "s3", "BUCKET": "images"}}}}},
            "storage.subPaths",
        ),
    ],
)
def test_what_asks_for_nothing_that_protects_is_one_line(load: Load, document: object, path: str) -> None:
    """Settings of zot that would lock, or lay data elsewhere, are ignored only where they do not."""
    (warning,) = load(document).warnings
    assert warning.startswith(f"{path} has no effect: ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("prot", "http.port"),
        ("drain_timeout", "http.drainTimeout"),
        ("drainTimout", "http.drainTimeout"),
        ("adress", "http.address"),
        ("bucket", "storage.storageDriver.bucket"),
        ("credentials", None),
        ("host", None),
        ("timeout", None),
        ("enable", None),
        ("x", None),
        ("x" * 200_000, None),
    ],
)
def test_hints_are_never_far_fetched(load: Load, name: str, meant: str | None) -> None:
    """Only a slip of the hand is pointed out, or a name that stands in one other section."""
    (problem,) = problems_of(load, {"http": {name: 1}})
    assert problem.partition("there is no such setting")[2] == ("" if meant is None else f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({"directory": "/c", "size": "1GiB"}, ()),
        ({"memory": "1GiB"}, ()),
        ({"directory": "/c", "memory": 0}, ()),
        ({"directory": "/c", "memory": "1GiB"}, ("cache.memory has no effect: the cache is in cache.directory",)),
        (
            {"size": "1GiB"},
            ("cache.size has no effect: name a directory in cache.directory, or set cache.memory instead",),
        ),
    ],
)
def test_settings_of_the_cache_that_do_nothing_are_named(
    load: Load, cache: dict[str, object], expected: tuple[str, ...]
) -> None:
    """There is one cache, on a disk or in memory, and each has a size of its own."""
    assert load({"cache": cache}).warnings == expected


def test_a_directory_is_no_file(load: Load, tmp_path: Path) -> None:
    """The sentence does not deny that something is there."""
    (problem,) = problems_of(load, {"http": {"auth": {"htpasswd": {"path": str(tmp_path)}}}})
    assert problem == f"http.auth.htpasswd.path: {tmp_path} is a directory: name a file"


LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))])
MERGED = "\n".join(["a0: &a0 {k: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60))])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (LAUGHS, "more than 50000 values"),
        (MERGED, "more than 50000 values"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: &a {b: *a}", "nested too deeply"),
        ("[" * 60 + "]" * 60, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ('{"a": ' * 60 + "1" + "}" * 60, "nested too deeply"),
        ('{"a": ' * 10_000, "nested too deeply"),
        ("# " + "x" * 300_000, "longer than 256 KiB"),
        ('{"a": "' + "x" * 300_000 + '"}', "longer than 256 KiB"),
        ("http:\n  port: 1\n  port: 2", "'port' occurs twice"),
        ("storage:\n  retention:\n    policies:\n      - repositories: [a]\n        repositories: [b]", "twice"),
        ("a: &a {port: 1}\nhttp:\n  <<: *a\n  <<: *a", "'<<' occurs twice"),
        ("http: {port: 2001-99-99}", "month must be in"),
        ("http: {port: !!python/object:os.system x}", "could not determine a constructor"),
        ("http: \x00", "special characters are not allowed"),
    ],
)
def test_a_file_cannot_grow_beyond_bounds(load: Load, tmp_path: Path, text: str, what: str) -> None:
    """Aliases that multiply, nesting, length and names given twice are each one clear problem, at once."""
    (problem,) = problems_of(load, text)
    assert problem.startswith(f"{tmp_path / 'config'}: ")
    assert what in problem


def test_aliases_that_do_not_multiply_are_as_good_as_what_they_stand_for(load: Load) -> None:
    """YAML's anchors and merged sections can be used; what stands beside a merged section comes first."""
    text = "http: &h {port: 1, address: 10.0.0.1}\nlog: {level: info}\n"
    assert load(text).http.port == 1
    text = "gcSettings: {grace: &day 1d, uploadTTL: *day}\n"
    assert load(text).gc.upload_ttl_s == 86400.0


def test_numbers_without_end_are_refused_in_words(load: Load) -> None:
    """A number that Python writes to nobody is a problem, and no traceback."""
    huge = "0x" + "f" * 5000
    assert problems_of(load, f"http: {{port: {huge}, auth: {huge}}}")[-1].startswith("http.auth: ")


@pytest.mark.parametrize(
    ("settings", "endpoint", "path_style"),
    [
        ({}, None, False),
        ({"secure": False}, None, False),
        ({"regionendpoint": ""}, None, False),
        ({"regionendpoint": "minio:9000"}, "https://minio:9000", True),
        ({"regionendpoint": "minio:9000", "secure": "false"}, "http://minio:9000", True),
        ({"regionendpoint": "http://[::1]:9000/"}, "http://[::1]:9000", True),
        ({"regionendpoint": "https://s3.example", "secure": False}, "https://s3.example", True),
        ({"regionendpoint": "s3.example", "forcepathstyle": False}, "https://s3.example", False),
    ],
)
def test_the_endpoint_is_one_url(load: Load, settings: dict[str, object], endpoint: str, path_style: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A URL's own scheme counts, else `secure`; away from AWS the bucket is in the path unless told otherwise."""
    found = s3_settings(load(s3(**settings)))
    assert (found.endpoint, found.force_path_style) == (endpoint, path_style)


@pytest.mark.parametrize(
    ("settings", "endpoint"),
    [
        ({}, None),
        ({"redirectendpoint": "https://images.example/"}, "https://images.example"),
        ({"redirectendpoint": "images.example:9000"}, "https://images.example:9000"),
        ({"redirectendpoint": "images.example", "secure": False}, "http://images.example"),
    ],
)
def test_the_endpoint_of_redirects_is_one_url(load: Load, settings: dict[str, object], endpoint: str | None) -> None:
    """It is read as the service's own endpoint is, and says nothing about the style of URLs."""
    found = s3_settings(load(s3(redirect=True, **settings)))
    assert (found.redirect_endpoint, found.force_path_style) == (endpoint, False)


def test_redirects_need_a_bucket_of_ones_own(load: Load) -> None:
    """Pulls are redirected by zotpy's name or by zot's, and never to the embedded store, which no client can reach."""
    assert load(s3()).storage.redirect_expiry_s is None
    assert load(s3(redirectexpiry="5m")).storage.redirect_expiry_s is None
    assert load(s3(redirect=True)).storage.redirect_expiry_s == 1200
    named_by_zot = s3(redirectexpiry="5m")
    named_by_zot["storage"]["redirectBlobURL"] = True
    assert load(named_by_zot).storage.redirect_expiry_s == 300
    assert load({"storage": {"redirectBlobURL": True}}).storage.redirect_expiry_s is None


def test_the_region_is_the_environments_unless_given(load: Load) -> None:
    """Where the platform names the region, the file need not."""
    environ = {"AWS_REGION": "eu-west-1"}
    assert s3_settings(load(s3(), environ)).region == "eu-west-1"
    assert s3_settings(load(s3(region="eu-west-2"), environ)).region == "eu-west-2"
    assert s3_settings(load(s3())).region == "us-east-1"


def test_variables_override_the_file_and_flags_override_both(load: Load) -> None:
    """Flags override variables, and these the file. An empty variable counts as missing."""
    document = {"http": {"port": 1, "address": "10.0.0.1"}}
    environ = {"ZOTPY_HTTP_PORT": "2", "ZOTPY_HTTP_ADDRESS": ""}
    assert load(document, environ).http.port == 2
    assert load(document, environ, port="3").http.port == 3
    assert load(document, environ, port="3").http.address == "10.0.0.1"


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (3, 3), (200, 64)])
@pytest.mark.parametrize("word", ["auto", 0, "0"])
def test_workers_may_be_as_many_as_cpus(
    load: Load, monkeypatch: pytest.MonkeyPatch, word: object, cpus: int, workers: int
) -> None:
    """`auto` and 0 mean the CPUs that this process may use, within the bounds of the setting."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    assert load({"http": {"workers": word}}).http.workers == workers


EXAMPLES: dict[str, tuple[str, object]] = {
    "extensions.metrics.prometheus.path": ("/a/b", "/a/b"),
    "http.address": ("::1", "::1"),
    "http.port": ("0", 0),
    "http.tls.cert": (__file__, Path(__file__)),
    "http.tls.key": (__file__, Path(__file__)),
    "storage.storageDriver.cabundle": (__file__, Path(__file__)),
    "http.trustedProxies": ("10.0.0.0/8, ::1/128", (ip_network("10.0.0.0/8"), ip_network("::1/128"))),
    "http.auth.htpasswd.path": (__file__, Path(__file__)),
    "http.auth.failDelay": ("5", 5.0),
    "http.auth.checksAtOnce": ("4", 4),
    "http.auth.checksPerClient": ("20", 20),
    "http.auth.checksWaiting": ("50", 50),
    "http.auth.remember": ("1m", 60.0),
    "http.auth.bearer.cert": (__file__, Path(__file__)),
    "http.auth.bearer.oidc": (
        '{"issuer": "https://a", "audiences": ["b"]}',
        (IssuerSettings("https://a", frozenset({"b"})),),
    ),
    "http.auth.openid": (
        '{"providers": {"oidc": {"issuer": "https://a", "clientid": "b"}}}',
        OpenidSettings(
            (
                IssuerSettings(
                    "https://a", frozenset({"b"}), username=(ClaimTerm("email"),), groups="groups", client="b"
                ),
            )
        ),
    ),
    "http.auth.tokenLifetime": ("10m", 600.0),
    "http.auth.sessionLifetime": ("0", 0.0),
    "http.externalUrl": ("https://r.example.com/", "https://r.example.com"),
    "http.drainTimeout": ("1m30s", 90.0),
    "http.drainNotice": ("0", 0.0),
    "http.sendStallTimeout": ("2m", 120.0),
    "http.busyTimeout": ("20s", 20.0),
    "http.workers": ("3", 3),
    "http.workerTimeout": ("1m", 60.0),
    "storage.rootDirectory": ("/srv", Path("/srv")),
    "storage.storageDriver.rootdirectory": ("/a/b/", "a/b"),
    "storage.storageDriver.name": ("S3", None),
    "storage.storageDriver.regionendpoint": ("http://x", "http://x"),
    "storage.storageDriver.redirectendpoint": ("https://cdn", "https://cdn"),
    "storage.storageDriver.redirectexpiry": ("7d", 604800.0),
    "log.level": ("PANIC", "error"),
    "log.format": ("console", "console"),
    "log.output": ("/dev/stdout", "stdout"),
    "upload.partSize": ("16 MiB", 16 * 2**20),
    "upload.partsInFlight": ("9", 9),
    "upload.memoryBudget": ("1.5GiB", 1536 * 2**20),
    "upload.bodyStallTimeout": ("1500ms", 1.5),
    "upload.bodyIdleTimeout": ("20m", 1200.0),
    "upload.holdTimeout": ("0", 0.0),
    "storage.gcTimeWindow": ("22:00 - 04:30", (22 * 60, 4 * 60 + 30)),
    "http.holdTimeout": ("1m", 60.0),
    "gcSettings.grace": ("2d", 172800.0),
    "gcSettings.deadline": ("30", 30.0),
    "gcSettings.uploadTTL": ("30d", 2592000.0),
    "gcSettings.interval": ("0", 0.0),
    "gcSettings.pullInterval": ("5m", 300.0),
    "gcSettings.callsPerSecond": ("7", 7),
    "storage.retention.delay": ("0", 0.0),
    "storage.reservedSpace": ("5 %", 0.05),
    "storage.promisedLife": ("1500ms", 1.5),
    "storage.retention.policies": ('[{"repositories": ["a"]}]', read_policies([{"repositories": ["a"]}])),
    "manifest.maxSize": ("5000000", 5_000_000),
    "cache.directory": ("/var/cache/zotpy", Path("/var/cache/zotpy")),
    "cache.size": ("2GiB", 2 << 30),
    "cache.memory": ("64MiB", 64 << 20),
    "lists.pageSize": ("70", 70),
    "lists.pageBytes": ("2MiB", 2 << 20),
    "lists.annotations": ("1KiB", 1024),
    "lists.referrersRead": ("700", 700),
    "lists.catalogRead": ("7000", 7000),
    "http.accessControl": ('{"adminPolicy": {"users": ["a"]}}', read_access_control({"adminPolicy": {"users": ["a"]}})),
    "manifest.maxReferences": ("500", 500),
    "manifest.maxValues": ("20000", 20_000),
    "http.maxConnections": ("100", 100),
    "http.headTimeout": ("5s", 5.0),
    "http.headMemory": ("2MiB", 2 << 20),
    "http.auth.apiKeysPerUser": ("7", 7),
    "log.auditMemory": ("2MiB", 2 << 20),
    "http.maxRanges": ("64", 64),
    "manifest.maxTags": ("12", 12),
    "http.tls.minVersion": ("1.3", "1.3"),
    "http.tls.cacert": (__file__, Path(__file__)),
    "http.auth.mtls.identityAttributes": ("URI, CN", ("uri", "commonname")),
    "http.auth.mtls.uriSanPattern": ("a/(b)", re.compile("a/(b)", re.ASCII)),
    "http.auth.mtls.uriSanIndex": ("1", 1),
    "http.auth.mtls.dnsSanIndex": ("1", 1),
    "http.auth.mtls.emailSanIndex": ("1", 1),
    "http.auth.mtls.proxyHeader": ("x-forwarded-client-cert", "X-Forwarded-Client-Cert"),
    "http.auth.ldap.port": ("636", 636),
    "http.auth.ldap.caCert": (__file__, Path(__file__)),
    "http.auth.ldap.credentialsFile": (__file__, Path(__file__)),
    "http.auth.ldap.connections": ("8", 8),
    "extensions.sync.credentialsFile": (__file__, Path(__file__)),
    "extensions.sync.registries": (
        '[{"urls": ["https://a"], "onDemand": true}]',
        (MirroredRegistry(("https://a",)),),
    ),
    "http.auth.ldap.timeout": ("3s", 3.0),
    "http.auth.ldap.remember": ("0", 0.0),
}
"""Values for variables, with what is read from them; flags and texts not named here are `true` and `text`."""


@pytest.mark.parametrize("path", LEAVES)
def test_every_setting_has_its_variable(path: str) -> None:
    """ZOTPY_ and the path, with underscores and in upper case, reaches the field."""
    leaf = LEAVES[path]
    is_flag = leaf.read.__name__ == "read_flag"
    text, expected = EXAMPLES.get(path, ("true", True) if is_flag else ("text", "text"))
    whole = {variable_of(path): text}
    if leaf.section == "s3":
        whole = {"ZOTPY_STORAGE_STORAGEDRIVER_BUCKET": "b", **whole}
        whole |= {f"ZOTPY_STORAGE_STORAGEDRIVER_{key}": "text" for key in ("ACCESSKEY", "SECRETKEY")}
    if path == "http.accessControl":
        whole["ZOTPY_HTTP_AUTH_HTPASSWD_PATH"] = __file__
    if leaf.section == "mtls":
        given = {"HTTP_TRUSTEDPROXIES": "10.0.0.0/8", "HTTP_AUTH_MTLS_PROXYHEADER": "Client-Cert"}
        whole = {**{f"ZOTPY_{name}": value for name, value in given.items()}, **whole}
    if leaf.section == "ldap":
        needed = {f"ZOTPY_HTTP_AUTH_LDAP_{name}": "text" for name in ("ADDRESS", "BASEDN", "USERATTRIBUTE")}
        whole = {**needed, "ZOTPY_HTTP_AUTH_LDAP_INSECURE": "true", **whole}
    if leaf.section == "bearer":
        needed = {f"ZOTPY_HTTP_AUTH_BEARER_{name}": "text" for name in ("REALM", "SERVICE")}
        whole = {**needed, "ZOTPY_HTTP_AUTH_BEARER_CERT": __file__, **whole}
    if leaf.section == "http" and "tls" in path:
        whole |= {"ZOTPY_HTTP_TLS_CERT": __file__, "ZOTPY_HTTP_TLS_KEY": __file__}
    settings = load_settings(None, whole)
    elsewhere = {
        "s3": settings.storage.s3,
        "ldap": settings.auth.ldap,
        "mtls": settings.auth.mtls,
        "bearer": settings.auth.bearer,
    }
    section: Any = elsewhere[leaf.section] if leaf.section in elsewhere else getattr(settings, leaf.section)
    if leaf.field in {"name", "secure"}:
        assert section is not None
    else:
        assert getattr(section, leaf.field) == expected


def test_a_misspelt_variable_is_pointed_out() -> None:
    """A name much like one of ours is a warning; Kubernetes' own, for a service named zotpy, are none."""
    environ = {"ZOTPY_HTTP_PROT": "1", "ZOTPY_PORT": "tcp://10.0.0.1:5000", "ZOTPY_SERVICE_HOST": "10.0.0.1"}
    assert load_settings(None, environ).warnings == ("ZOTPY_HTTP_PROT has no effect: did you mean ZOTPY_HTTP_PORT?",)


def test_secrets_are_not_shown(load: Load) -> None:
    """Neither settings nor problems repeat a secret."""
    assert "hush" not in repr(load(ZOT_FILE))
    assert "hush" not in str(problems_of(load, s3(secretkey=["hush"], sessiontoken={"hush": 1})))


def test_the_defaults_go_together(load: Load) -> None:
    """What is configured by default counts as it is, and the HTTP server's own defaults are the same."""
    settings = load({})
    assert settings.upload == UploadSettings()
    assert settings.upload.hold_timeout_s < settings.gc.deadline_s
    assert ServerConfig().send_stall_s == Settings().http.send_stall_timeout_s


def test_a_client_closes_an_idle_connection_before_the_server_does() -> None:
    """Otherwise a request would fail if the server closes the connection in that moment, as on a slow machine."""
    expiry_s = httpx.Limits().keepalive_expiry
    assert expiry_s is not None
    assert ServerConfig().keep_alive_timeout >= 10 * expiry_s


def test_no_more_annotations_can_be_asked_for_than_are_kept(load: Load) -> None:
    """What the list of referrers in the bucket does not have, no page can show."""
    kept = KEPT_ANNOTATIONS_BYTES
    assert load({"lists": {"annotations": kept}}).lists.annotation_bytes == kept
    assert "64KiB" in str(problems_of(load, {"lists": {"annotations": kept + 1}}))


def test_the_documentation_names_every_setting() -> None:
    """No setting, and nothing of zot's that is refused or without effect, is missing from docs/configuration.md."""
    text = DOCUMENTATION.read_text()
    missing = [path for path in (*LEAVES, *WITHOUT_EFFECT, *REFUSED) if f"`{path}`" not in text]
    assert missing == []


def test_the_examples_of_the_documentation_are_good(load: Load) -> None:
    """Every file shown in docs/configuration.md can be used as it stands."""
    examples = re.findall(r"^```(?:yaml|json)\n(.*?)^```", DOCUMENTATION.read_text(), re.DOTALL | re.MULTILINE)
    assert len(examples) == 7
    for example in examples:
        load(example, {"ZOTPY_STORAGE_STORAGEDRIVER_SECRETKEY": "s"} if "accesskey" in example else {})


def test_a_server_collects_by_itself_only_with_a_store_of_its_own(load: Load) -> None:
    """Four times in a grace, unless told otherwise; beside a bucket only if told to."""
    assert load({}).collection_interval_s == 6 * 3600
    assert load({"gcSettings": {"grace": "48h"}}).collection_interval_s == 12 * 3600
    assert load({"gcSettings": {"interval": "0"}}).collection_interval_s == 0
    assert load(s3()).collection_interval_s == 0
    assert load({**s3(), "gcSettings": {"interval": "4h"}}).collection_interval_s == 4 * 3600


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"upload": {"holdTimeout": "1h"}}, ["upload.holdTimeout is 3600s and counts as 540s"]),
        ({"upload": {"holdTimeout": "9m"}}, []),
        ({"gcSettings": {"deadline": "1m"}}, []),
        (
            {"upload": {"bodyIdleTimeout": "30s"}},
            ["upload.bodyIdleTimeout is 30s and counts as 60s"],
        ),
        ({"upload": {"bodyStallTimeout": "20m"}}, []),
    ],
)
def test_what_counts_for_other_than_it_says_is_said(load: Load, document: dict[str, object], said: list[str]) -> None:
    """A given setting that another one bounds gives a warning; such a default gives none."""
    warnings = load(document).warnings
    assert len(warnings) == len(said)
    assert all(warning.startswith(words) for warning, words in zip(warnings, said, strict=True))
