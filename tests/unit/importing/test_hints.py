"""An import or a sync that finds no repository, or to which something is refused: it says why, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.mirror.support import mirrored
from tests.unit.registry.support import open_replica
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream, running
from zotpy.core.globs import read_glob
from zotpy.importing.jobs import Job
from zotpy.importing.places import parse_place
from zotpy.importing.selection import Selection
from zotpy.importing.tally import Tally
from zotpy.settings import MirroredContent, MirrorSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.syncing.jobs import Job as SyncJob
from zotpy.upstream import UpstreamRefused

if TYPE_CHECKING:
    from pathlib import Path

LISTED = ["team/a", "team/b"]


async def imported(upstream: Upstream, *wanted: str, username: str = "", tags: str = "") -> Tally:
    """Import from an upstream."""
    place, tally = parse_place(upstream.url), Tally()
    selection = Selection(wanted, tags=[read_glob(tags)] if tags else [])
    job = Job(upstream.url, place, selection, upstream.settings(username=username, password="x"))
    await job.run(await open_replica(MemoryStore()), lambda _, __: False, tally)
    return tally


async def synced(upstream: Upstream, *prefixes: str, logins: Path | None = None) -> Tally:
    """Sync from an upstream."""
    content = tuple(MirroredContent(prefix) for prefix in prefixes)
    settings = mirrored(upstream.url, on_demand=False, has_content=True, content=content)
    tally = Tally()
    job = SyncJob(MirrorSettings(registries=(settings,), credentials=logins), settings)
    await job.run(await open_replica(MemoryStore()), lambda _, __: False, tally)
    return tally


def give(upstream: Upstream, *names: str) -> None:
    """Let an upstream list repositories, which have no tags."""
    upstream.scripts["/v2/_catalog"] = [Reply(200, json.dumps({"repositories": names}).encode())]
    for name in LISTED:
        upstream.scripts[f"/v2/{name}/tags/list"] = [Reply(200, b'{"tags": []}')]


async def test_an_import_without_a_login_that_is_shown_nothing() -> None:
    """Such as from a zot, which lists to callers without a login what everybody may read."""
    async with running() as upstream:
        give(upstream)
        (hint,) = (await imported(upstream)).hints
    host = upstream.url.removeprefix("http://")
    assert hint == (
        f"{host} lists no repositories to callers without a login: log in with --username and --password-file, or with"
        f" --credentials-file, or name what to copy: {host}/REPOSITORY"
    )


async def test_a_sync_without_a_login_that_is_shown_nothing(tmp_path: Path) -> None:
    """The login is in the file of the configuration. With a login, that is said."""
    async with running() as upstream:
        give(upstream)
        (hint,) = (await synced(upstream, "**")).hints
        host = upstream.url.removeprefix("http://")
        file = tmp_path / "logins.json"
        file.write_text(json.dumps({host: {"username": "alice", "password": "x"}}))
        (known,) = (await synced(upstream, "**", logins=file)).hints
    assert "without a login" in hint
    assert f"write one for {host} to extensions.sync.credentialsFile" in hint
    assert "without stars" in hint
    assert "for this login" in known


async def test_names_that_fit_nothing() -> None:
    """The source lists others."""
    async with running() as upstream:
        give(upstream, *LISTED)
        (hint,) = (await imported(upstream, "other/*")).hints
        (known,) = (await imported(upstream, "other/*", username="alice")).hints
    assert "lists 2 repositories, and the names that are wanted fit none of them" in hint
    assert "--username" in hint
    assert "--username" not in known


@pytest.mark.parametrize("names", [LISTED, ["team/a"]])
async def test_who_finds_something_needs_no_hint(names: list[str]) -> None:
    """Also if that is what was named, and the list has no more."""
    async with running() as upstream:
        give(upstream, *names)
        assert not (await imported(upstream)).hints
        assert not (await imported(upstream, "team/a")).hints
        assert not (await synced(upstream, "team/a", "other/**")).hints


def refusal(message: str) -> Reply:
    """Return an answer as Harbor gives it."""
    body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": message}]}).encode()
    return Reply(401, body, {"WWW-Authenticate": 'Basic realm="harbor"'})


async def test_a_source_that_lists_its_repositories_only_to_some() -> None:
    """Harbor's robots of one project may not read the list, and Docker Hub has none. The names can be given instead."""
    async with running() as upstream:
        upstream.scripts["/v2/_catalog"] = [refusal("unauthorized to list catalog")]
        host = upstream.url.removeprefix("http://")
        with pytest.raises(UpstreamRefused, match="unauthorized to list catalog") as unknown:
            await imported(upstream)
        with pytest.raises(UpstreamRefused, match="may not list repositories") as known:
            await imported(upstream, username="robot$team")
        with pytest.raises(UpstreamRefused, match="without stars"):
            await synced(upstream, "**")
        upstream.scripts["/v2/_catalog"] = [Reply(404)]
        with pytest.raises(UpstreamRefused, match="do without its list of repositories") as nowhere:
            await imported(upstream, "team/*")
    assert "--username" in str(unknown.value)
    assert "--username" not in str(known.value)
    for told in (unknown, known, nowhere):
        assert str(told.value).endswith(f"name what to copy: {host}/REPOSITORY")


async def test_what_is_refused_to_a_login_is_said_once() -> None:
    """Each repository is a problem of its own."""
    async with running() as upstream:
        give(upstream, *LISTED)
        for name in LISTED:
            upstream.scripts[f"/v2/{name}/tags/list"] = [refusal("unauthorized to access repository")]
        tally, known = await imported(upstream), await imported(upstream, username="alice")
    assert len(tally.problems) == len(LISTED)
    (hint,), (other,) = tally.hints, known.hints
    assert "refuses some of it to callers without a login: log in with --username" in hint
    assert "to this login: check the password, the right to pull there, and the names" in other


@pytest.mark.parametrize(("tags", "is_problem"), [("w*", True), ("v*", False), ("", False)])
async def test_a_pattern_that_matches_no_tag_is_a_problem(tags: str, *, is_problem: bool) -> None:
    """Otherwise a script would take nothing for a copy. A tag that was deleted since it was listed did match."""
    async with running() as upstream:
        upstream.scripts["/v2/team/a/tags/list"] = [Reply(200, b'{"tags": ["v1"]}')]
        upstream.scripts["/v2/team/a/manifests/v1"] = [Reply(404)]
        tally = await imported(upstream, "team/a", tags=tags)
    said = f"{upstream.url}: no tag matches --tags or --tags-regex: correct the pattern"
    assert tally.problems == [said] * is_problem
