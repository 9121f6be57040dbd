"""From the arguments of an export to what is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zotpy.core.errors import NameInvalid, NameUnknown
from zotpy.core.globs import read_glob
from zotpy.core.names import RepositoryName
from zotpy.exporting.exporter import Exported, Exporter, NoTagMatches, all_names
from zotpy.importing.places import FilesPlace, parse_files
from zotpy.importing.selection import Selection, is_pattern
from zotpy.layouts.writing import DirectoryWriter, LayoutWriter, open_archive
from zotpy.registry.registry import Registry

BLOBS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What is written, and where."""

    place: FilesPlace
    selection: Selection

    async def run(self, registry: Registry, exported: Exported) -> None:
        """Write it. Raises `RegistryError`, `StoreError`, `OSError`."""
        unmatched = 0
        for repo in await self._repositories(registry):
            try:
                await self._repository(registry, repo, exported)
            except NoTagMatches:
                unmatched += 1
            except NameUnknown as error:
                if self._is_named:  # otherwise it was deleted since it was listed
                    exported.problems.append(f"{repo}: {error}")
        if unmatched and not (exported.repositories or exported.problems):
            exported.problems.append("no tag matches --tags: correct the pattern, or leave it out")

    async def _repository(self, registry: Registry, repo: RepositoryName, exported: Exported) -> None:
        if self.place.kind == "oci-archive":
            async with open_archive(self.place.path) as archive:
                await self._write(registry, repo, archive, exported)
            return
        root = self.place.path / repo.text if self.place.kind == "zot" else self.place.path
        await self._write(registry, repo, DirectoryWriter(root), exported)

    async def _write(self, registry: Registry, repo: RepositoryName, writer: LayoutWriter, exported: Exported) -> None:
        await Exporter(registry, repo, writer, exported, self.selection, BLOBS_AT_ONCE).run()

    @property
    def writes_again(self) -> str:
        """What a second run does after one that was stopped, for people."""
        if self.place.kind == "oci-archive":
            return f"it writes {self.place.path} from the beginning"
        return "it writes what is still missing"

    @property
    def _is_named(self) -> bool:
        """Whether the arguments name each repository."""
        wanted = self.selection.repositories
        return bool(wanted) and not any(map(is_pattern, wanted))

    async def _repositories(self, registry: Registry) -> Sequence[RepositoryName]:
        if self._is_named:
            return [RepositoryName.parse(name) for name in self.selection.repositories]
        found = await all_names(partial(registry.lists.catalog, None))
        return [RepositoryName.parse(name) for name in found if self.selection.wants(name)]


def plan(repositories: Sequence[str], to: str, tags: Sequence[str], *, referrers: bool) -> Job:
    """Read the arguments. Raises `ValueError` with a sentence that says what is wrong."""
    place = parse_files(to)
    if place is None:
        msg = f"{to!r} is not a target: write oci:DIR, oci-archive:FILE or zot:DIR"
        raise ValueError(msg)
    is_file = place.kind == "oci-archive"
    if place.path.exists() and place.path.is_dir() == is_file:
        wrong = "is a directory: name a file" if is_file else "is no directory"
        msg = f"{to}: {place.path} {wrong}"
        raise ValueError(msg)
    if place.kind != "zot" and (len(repositories) != 1 or is_pattern(repositories[0])):
        msg = f"{place.kind}: takes one repository: name it, or write several to zot:DIR"
        raise ValueError(msg)
    for name in repositories:
        if is_pattern(name):
            read_glob(name)
            continue
        try:
            RepositoryName.parse(name)
        except NameInvalid as error:
            raise ValueError(error.message) from error
    patterns = [read_glob(text, "v1.*") for text in tags]
    return Job(place, Selection(repositories=repositories, tags=patterns, referrers=referrers))
