"""`zotpy export`: writes repositories into OCI layouts."""

import argparse
import json
import sys
from functools import partial
from typing import TYPE_CHECKING

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from zotpy.exporting.exporter import Exported
    from zotpy.exporting.jobs import Job
    from zotpy.settings import Settings

_DESCRIPTION = """Write repositories into OCI layouts, while replicas serve.

The target is
  oci:DIR           a layout, for one repository
  oci-archive:FILE  a tar of an OCI layout, for one repository
  zot:DIR           a directory with a layout for each repository, which zot can serve as its storage.rootDirectory

Every tag is written with its manifests, blobs, signatures and other referrers. The digest of everything is verified. In
a directory, a second run writes only what is new, and replaces the index last. A tar gets its name when it is complete.
SIGTERM and Ctrl-C stop the command at any moment, and it says what it has written.

exit codes: 0 everything is written, 1 something could not be written, 2 wrong arguments or configuration,
130 stopped by Ctrl-C, 143 stopped by SIGTERM
"""


def add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "export", help="write repositories into OCI layouts", description=_DESCRIPTION, formatter_class=raw
    )
    parser.add_argument(
        "repository", nargs="*", metavar="REPOSITORY", help="what to write, also as a pattern; by default, everything"
    )
    parser.add_argument("--to", metavar="TARGET", required=True, help="where to write it")
    add_bucket_arguments(parser)
    parser.add_argument(
        "--tags", metavar="GLOB", action="append", default=[], help="only tags such as v1.*; repeatable"
    )
    parser.add_argument("--no-referrers", action="store_true", help="leave out signatures and other referrers")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.running import run_told  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import noting, read_settings  # noqa: PLC0415 - the same
    from zotpy.config import ConfigError  # noqa: PLC0415 - the same
    from zotpy.exporting.exporter import Exported  # noqa: PLC0415 - the same
    from zotpy.exporting.jobs import plan  # noqa: PLC0415 - the same

    settings = read_settings(options, {})
    try:
        job = plan(options.repository, options.to, options.tags, referrers=not options.no_referrers)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    exported = Exported()
    fail = noting(exported.failures)
    work, tell = partial(_export, settings, job, exported, fail), partial(_tell, exported, as_json=options.json)
    _, stopped = run_told(work, lambda _: tell(), fail, f"run it again, and {job.writes_again}")
    return stopped or (1 if exported.problems or exported.failures else 0)


async def _export(settings: "Settings", job: "Job", exported: "Exported", fail: "Callable[[str], None]") -> None:
    from zotpy.commands.shared import open_bucket  # noqa: PLC0415
    from zotpy.importing.target import open_registry_on  # noqa: PLC0415

    async with open_bucket(settings) as store:
        registry = await open_registry_on(store, settings)
        try:
            await job.run(registry, exported)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror}")


def _tell(exported: "Exported", *, as_json: bool) -> None:
    from zotpy.commands.shared import size  # noqa: PLC0415

    if as_json:
        print(json.dumps(exported.as_dict(), indent=2))  # noqa: T201 - said at the terminal
        return
    for problem in exported.problems:
        print(f"not written: {problem}", file=sys.stderr)  # noqa: T201 - the same
    written = (
        f"{exported.blobs_written} blobs written ({size(exported.bytes_written)}), {exported.blobs_present} present"
    )
    print(f"{exported.repositories} repositories, {exported.tags} tags, {exported.manifests} manifests, {written}")  # noqa: T201 - the same
