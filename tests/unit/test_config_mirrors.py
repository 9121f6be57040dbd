"""`extensions.sync` as zot's files have it: what is read, and what is refused in which words."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from zotpy.config import ConfigError, load_settings
from zotpy.settings import MirroredContent, MirroredRegistry, MirroredTags, MirrorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zotpy.settings import Settings


def load(tmp_path: Path, sync: object, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a file with this section."""
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({"extensions": {"sync": sync}}))
    return load_settings(file, environ or {"XDG_DATA_HOME": "/data"})


def problems_of(tmp_path: Path, entry: object) -> tuple[str, ...]:
    """Return what is wrong with an entry of the list."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, {"registries": [entry]})
    return raised.value.problems


def test_a_section_of_zot_is_read(tmp_path: Path) -> None:
    """Names of any case, slashes at ends, durations and patterns."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text("{}")
    settings = load(
        tmp_path,
        {
            "enable": True,
            "credentialsFile": str(credentials),
            "downloadDir": "/tmp/zot",  # noqa: S108 - what a file of zot has
            "registries": [
                {
                    "urls": ["https://index.docker.io/", "mirror.gcr.io"],
                    "onDemand": True,
                    "pollInterval": "",
                    "tlsVerify": False,
                    "certDir": str(tmp_path),
                    "maxRetries": 5,
                    "retryDelay": "15m",
                    "manifestCheckInterval": "1h",
                    "reqConcurrent": 7,
                    "reqPerSec": 2.5,
                    "syncTimeout": "10m",
                    "onlySigned": False,
                    "preserveDigest": True,
                    "content": [
                        {"prefix": "/library/**", "destination": "/docker.io/", "StripPrefix": True},
                        {"prefix": "**", "tags": {"regex": "^v", "excludeRegex": "rc", "semver": True}},
                    ],
                },
                {
                    "urls": ["https://elsewhere.example.com"],
                    "pollInterval": "6h",
                    "onlySigned": True,
                    "syncLegacyCosignTags": False,
                    "content": [{"prefix": "a"}],
                },
                {"urls": ["https://nowhere.example.com"]},
            ],
        },
    )
    assert settings.mirror == MirrorSettings(
        registries=(
            MirroredRegistry(
                ("https://index.docker.io", "https://mirror.gcr.io"),
                (
                    MirroredContent("library/**", "docker.io", strip_prefix=True),
                    MirroredContent(
                        "**", tags=MirroredTags(re.compile("^v", re.ASCII), re.compile("rc", re.ASCII), semver=True)
                    ),
                ),
                tls_verify=False,
                cert_dir=tmp_path,
                max_retries=5,
                retry_delay_s=900.0,
                max_retry_delay_s=900.0,
                check_interval_s=3600.0,
                requests_at_once=7,
                requests_per_second=2.5,
                timeout_s=600.0,
                has_content=True,
            ),
            MirroredRegistry(
                ("https://elsewhere.example.com",),
                (MirroredContent("a"),),
                on_demand=False,
                poll_interval_s=21600.0,
                has_content=True,
                only_signed=True,
                cosign_tags=False,
            ),
            MirroredRegistry(("https://nowhere.example.com",), on_demand=False),
        ),
        credentials=credentials,
    )
    assert settings.mirror.mirrored == settings.mirror.registries[:1]
    assert settings.mirror.polled == settings.mirror.registries[1:2]
    ignored, polled, idle = settings.warnings
    assert ignored.startswith("extensions.sync.downloadDir has no effect: ")
    assert polled.endswith("run `zotpy sync --due`")
    assert "nothing is mirrored from https://nowhere.example.com" in idle


def test_an_entry_alone_has_the_defaults(tmp_path: Path) -> None:
    """Without content all repositories are mirrored; a variable of JSON is as good as a file."""
    entry = {"urls": ["http://127.0.0.1:5001"], "onDemand": True}
    expected = (MirroredRegistry(("http://127.0.0.1:5001",)),)
    assert load(tmp_path, {"registries": [entry]}).mirror.mirrored == expected
    environ = {"XDG_DATA_HOME": "/data", "ZOTPY_EXTENSIONS_SYNC_REGISTRIES": json.dumps([entry])}
    assert load(tmp_path, {}, environ).mirror.mirrored == expected
    assert load(tmp_path, {"enable": False, "registries": [entry]}).mirror.mirrored == ()
    assert load(tmp_path, {"enable": False, "registries": [{**entry, "onDemand": False}]}).warnings == ()


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"pollInterval": "6h"}, "pollInterval"),
        ({"pollInterval": "5s", "content": [{"prefix": "a"}]}, "pollInterval"),
        ({"onlySigned": "perhaps"}, "onlySigned"),
        ({"credentialHelper": "azure"}, "credentialHelper"),
        ({"urls": []}, "urls"),
        ({"urls": ["ftp://x"]}, "urls[0]"),
        ({"urls": ["https://u:p@x"]}, "urls[0]"),
        ({"urls": ["https://x?y"]}, "urls[0]"),
        ({"urls": [5]}, "urls[0]"),
        ({"certDir": "/absent"}, "certDir"),
        ({"maxRetries": -1}, "maxRetries"),
        ({"manifestCheckInterval": "31d"}, "manifestCheckInterval"),
        ({"reqConcurrent": 0}, "reqConcurrent"),
        ({"reqPerSec": "many"}, "reqPerSec"),
        ({"onDemand": "perhaps"}, "onDemand"),
        ({"content": [{"prefix": "a["}]}, "content[0].prefix"),
        ({"content": [{"prefix": "*-*{a,b}**"}]}, "content[0].prefix"),
        ({"content": [{"destination": "/A"}]}, "content[0].destination"),
        ({"content": [{"stripPrefix": 7}]}, "content[0].stripPrefix"),
        ({"content": [{"tags": {"regex": "("}}]}, "content[0].tags.regex"),
        ({"content": [{"tag": {}}]}, "content[0].tag"),
        ({"content": 5}, "content"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, entry: dict[str, Any], path: str) -> None:
    """What is not built is refused with a sentence, like what cannot be read."""
    (problem,) = problems_of(tmp_path, {"urls": ["https://x"], "onDemand": True, **entry})
    assert problem.startswith(f"extensions.sync.registries[0].{path}: ")


PRIMARY: dict[str, Any] = {"urls": ["https://x"], "onDemand": True, "passCredentials": True}


def test_a_primary_is_read(tmp_path: Path) -> None:
    """Its names are the names here; the same one may also be copied on a schedule."""
    entry = {**PRIMARY, "content": [{"prefix": "team/**"}], "pollInterval": "1h"}
    mirror = load(tmp_path, {"registries": [entry, {"urls": ["https://y"]}]}).mirror
    assert mirror.primary == mirror.registries[0]
    assert load(tmp_path, {"registries": [{**entry, "passCredentials": False}]}).mirror.primary is None


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"onDemand": False}, ".passCredentials"),
        ({"urls": ["http://x"]}, ".urls"),
        ({"urls": ["https://x", "https://y"]}, ".urls"),
        ({"urls": ["https://x/team"]}, ".urls"),
        ({"tlsVerify": False}, ".tlsVerify"),
        ({"content": [{"destination": "/here"}]}, ".content"),
        ({"content": [{"prefix": "a/**", "stripPrefix": True}]}, ".content"),
    ],
)
def test_what_a_primary_cannot_be(tmp_path: Path, changed: dict[str, Any], path: str) -> None:
    """Credentials of callers go over TLS to one host that has proved its name, and names are the same there."""
    (problem,) = problems_of(tmp_path, {**PRIMARY, **changed})
    assert problem.startswith(f"extensions.sync.registries[0]{path}: ")


def test_without_the_mirror_somebody_must_decide(tmp_path: Path) -> None:
    """A mirror that is turned off must not give what it has to everybody, because its primary is asked no more."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, {"enable": False, "registries": [PRIMARY]})
    (problem,) = raised.value.problems
    assert problem.startswith("extensions.sync.enable: ")
    file = tmp_path / "rules"
    rules = {"accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"]}}}}
    sync = {"enable": False, "registries": [PRIMARY]}
    file.write_text(yaml.safe_dump({"extensions": {"sync": sync}, "http": rules}))
    assert load_settings(file, {"XDG_DATA_HOME": "/data"}).mirror.primary is None


def test_a_primary_decides_alone(tmp_path: Path) -> None:
    """Neither another registry nor rules of this one go together with it."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, {"registries": [PRIMARY, {"urls": ["https://y"], "onDemand": True}]})
    assert raised.value.problems[0].endswith("mirror no other one")
    file = tmp_path / "rules"
    rules = {"accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"]}}}}
    file.write_text(yaml.safe_dump({"extensions": {"sync": {"registries": [PRIMARY]}}, "http": rules}))
    with pytest.raises(ConfigError) as raised:
        load_settings(file, {"XDG_DATA_HOME": "/data"})
    assert "remove http.auth and http.accessControl" in raised.value.problems[0]


def test_a_name_without_its_plural_gets_a_hint(tmp_path: Path) -> None:
    """A short name may lack the `s` of a plural."""
    problem = problems_of(tmp_path, {"url": "https://x", "onDemand": True})[0]
    assert problem == "extensions.sync.registries[0].url: there is no such setting; did you mean urls?"


def test_an_entry_that_is_no_section_is_refused(tmp_path: Path) -> None:
    """An entry of `registries` must be a section, not a string or a number."""
    assert problems_of(tmp_path, 5)[0].startswith("extensions.sync.registries[0]: ")
