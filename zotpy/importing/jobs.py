"""What an import does, by its arguments: each source is a job."""

import re
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from zotpy.core.errors import NameInvalid
from zotpy.core.globs import read_glob
from zotpy.core.names import RepositoryName
from zotpy.importing.advice import Hints
from zotpy.importing.copying import Copier, IsImmutable
from zotpy.importing.docker_logins import docker_file, from_docker
from zotpy.importing.importer import Importer
from zotpy.importing.places import FilesPlace, Place, RegistryPlace, parse_place
from zotpy.importing.selection import Selection, is_pattern
from zotpy.importing.sources import RegistrySource, Source
from zotpy.importing.tally import Tally
from zotpy.importing.zot_trees import open_tree, zot_settings
from zotpy.layouts.layout_files import archive_files, directory_files
from zotpy.layouts.source import one_layout
from zotpy.registry.registry import Registry
from zotpy.settings import Settings
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream import check_settings, open_upstream
from zotpy.upstream.credentials_file import login_at, read_credentials_file

_ONLY_FOR_LAYOUTS = "{}: --as REPOSITORY is only for the sources oci: and oci-archive:"


@dataclass(frozen=True, slots=True)
class Job:
    """One source, and what is copied from it."""

    title: str
    place: Place
    selection: Selection
    upstream: UpstreamSettings
    name: str = ""
    """The repository that one layout is copied to."""
    tree: Settings | None = None
    """The settings that say where a zot keeps its images."""

    async def is_due(self, registry: Registry) -> bool:
        """See `zotpy.importing.run.Job`: an import is always due."""
        del registry
        return True

    async def run(self, registry: Registry, is_immutable: IsImmutable, tally: Tally) -> None:
        """Copy it. Raises `UpstreamError`, `SourceGone`, `StoreError`."""
        at_once = self.upstream.requests_in_flight
        repositories, tags = tally.repositories, tally.tags_seen
        async with self._open() as source:
            copier = Copier(source, registry, is_immutable, tally, at_once)
            await Importer(source, copier, self.selection, tally, at_once, hints=self._hints).run()
        if self.selection.tags and tally.repositories > repositories and tally.tags_seen == tags and not tally.problems:
            tally.add_problem(f"{self.title}: no tag matches --tags or --tags-regex: correct the pattern")

    @property
    def _hints(self) -> Hints:
        if not isinstance(self.place, RegistryPlace):
            return Hints(self.title)
        host = self.place.host
        login = "log in with --username and --password-file, or with --credentials-file"
        return Hints(host, login, f"name what to copy: {host}/REPOSITORY", has_login=bool(self.upstream.username))

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Source]:
        place, longest_bytes = self.place, self.upstream.longest_manifest_bytes
        if isinstance(place, RegistryPlace):
            async with open_upstream(self.upstream) as upstream:
                yield RegistrySource(upstream)
        elif self.tree is not None:
            async with open_tree(self.tree, longest_bytes) as source:
                yield source
        else:
            files = directory_files(place.path) if place.kind == "oci" else await archive_files(place.path)
            yield one_layout(files, self.name, longest_bytes)


def plan(options: Namespace, settings: Settings) -> list[Job]:
    """Read the arguments. Raises `ConfigError`, and `ValueError` with a sentence that says what is wrong."""
    tags = [read_glob(text, "v1.*") for text in options.tags] + [_regex(text) for text in options.tags_regex]
    for text in options.exclude:
        read_glob(text)
    selection = Selection(
        left_out=options.exclude,
        tags=tags,
        excluded=[_regex(text) for text in options.exclude_tags_regex],
        destination=options.destination.strip("/"),
        referrers=not options.no_referrers,
    )
    return [_job(text, options, settings, selection) for text in options.source]


def _job(text: str, options: Namespace, settings: Settings, selection: Selection) -> Job:
    place = parse_place(text)
    if isinstance(place, FilesPlace):
        return _job_of_files(text, place, options, settings, selection)
    if options.name:
        raise ValueError(_ONLY_FOR_LAYOUTS.format(text))
    if place.repository:
        if is_pattern(place.repository):
            read_glob(place.repository)
        selection = replace(selection, repositories=[place.repository])
    username, password = _login(options, place)
    upstream = UpstreamSettings(
        url=place.url,
        username=username,
        password=password,
        tls_verify=not options.no_tls_verify,
        certificates=options.cert_dir,
        retries=options.retries,
        requests_in_flight=options.at_once,
        requests_per_second=options.rate,
        longest_manifest_bytes=settings.manifest.max_size_bytes,
    )
    check_settings(upstream)
    return Job(text, place, selection, upstream)


def _job_of_files(text: str, place: FilesPlace, options: Namespace, settings: Settings, selection: Selection) -> Job:
    """Return the job for a layout, or for a tree of them."""
    tree = None
    if place.kind == "zot":
        if options.name:
            raise ValueError(_ONLY_FOR_LAYOUTS.format(text))
        tree = zot_settings(place.path)
    elif options.name:
        _check_name(options.name)
    else:
        msg = f"{text} has no name of a repository: write one with --as REPOSITORY"
        raise ValueError(msg)
    upstream = UpstreamSettings(
        "", requests_in_flight=options.at_once, longest_manifest_bytes=settings.manifest.max_size_bytes
    )
    return Job(text, place, selection, upstream, options.name, tree)


def _login(options: Namespace, place: RegistryPlace) -> tuple[str, str]:
    """Return name and password, both empty if there is no login. Raises `ValueError`."""
    try:
        if options.username:
            if options.password_file is None:
                msg = "--username needs --password-file"
                raise ValueError(msg)
            return options.username, options.password_file.read_text().partition("\n")[0].rstrip("\r")
        if options.credentials_file is not None:
            login = login_at(read_credentials_file(options.credentials_file), place.host)
            if login is not None:
                return login.username, login.password
        return from_docker(docker_file(), place.host) or ("", "")
    except OSError as error:
        msg = f"{error.filename}: {error.strerror}"
        raise ValueError(msg) from error


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        msg = f"{text!r} is not a regular expression: {error}"
        raise ValueError(msg) from error


def _check_name(text: str) -> None:
    try:
        RepositoryName.parse(text)
    except NameInvalid as error:
        raise ValueError(error.message) from error
