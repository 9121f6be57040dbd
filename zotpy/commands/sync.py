"""`zotpy sync`: copies what is new in the registries of `extensions.sync`."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from zotpy.importing.tally import Tally
    from zotpy.settings import Settings
    from zotpy.syncing.jobs import Job

_DESCRIPTION = """Copy what is new in other registries, while replicas serve.

Copies from each registry of extensions.sync.registries that has a pollInterval. The setting content says which
repositories and tags are copied, and their names in this registry. Signatures and other referrers are copied as well.
The source must list its repositories, unless each prefix is a full name without stars.

Tags follow the source: if a tag names another image there, the next run copies that image. A tag that a client has
pushed to this registry stays as it is. If the source deletes something, the copy stays. You can stop the command at any
moment: the next run copies the rest.

Run it with --due every few minutes from a timer or a CronJob. It then copies from each registry once in its
pollInterval, also if several hosts run it.

exit codes: 0 everything is here, 1 something could not be copied, 2 wrong arguments or configuration
"""


def add_sync(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "sync", help="copy what is new in mirrored registries", description=_DESCRIPTION, formatter_class=raw
    )
    add_bucket_arguments(parser)
    parser.add_argument(
        "--registry",
        metavar="URL",
        action="append",
        default=[],
        help="copy only this registry, even without a pollInterval: one of its addresses, or its place in the list,"
        " from 0; repeatable",
    )
    parser.add_argument(
        "--due",
        action="store_true",
        help="copy only registries whose last run failed, or ended at least a pollInterval ago",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.copied import tell  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import look_at_bucket, read_settings  # noqa: PLC0415 - the same
    from zotpy.config import ConfigError  # noqa: PLC0415 - the same
    from zotpy.importing.tally import Tally  # noqa: PLC0415 - the same
    from zotpy.syncing.jobs import plan  # noqa: PLC0415 - the same

    settings = read_settings(options, {})
    try:
        jobs = plan(settings.mirror, options.registry)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    if not jobs:
        _complain("nothing to copy: no registry of extensions.sync has a pollInterval")
    tally = Tally()
    done = None
    try:
        done = look_at_bucket(partial(_sync, settings, jobs, tally, only_due=options.due)) if jobs else True
    finally:  # what was copied, before the store failed or the user pressed Ctrl-C
        tell(tally, as_json=options.json)
    return 0 if done and not tally.problems else 1


async def _sync(settings: "Settings", jobs: "list[Job]", tally: "Tally", *, only_due: bool) -> bool:
    """Do all jobs, and say whether all registries answered to the end. One that does not holds up no other."""
    from zotpy.auth.grants import Grants  # noqa: PLC0415
    from zotpy.commands.progress import shown  # noqa: PLC0415
    from zotpy.importing.importer import SourceGone  # noqa: PLC0415
    from zotpy.importing.target import open_target  # noqa: PLC0415
    from zotpy.upstream import UpstreamError  # noqa: PLC0415

    is_immutable = Grants(settings.http.access).is_immutable
    async with open_target(settings) as registry:

        async def do_all() -> bool:
            is_good = True
            for job in jobs:
                if only_due and not await job.is_due(registry):
                    continue
                try:
                    await job.run(registry, is_immutable, tally)
                except (UpstreamError, SourceGone) as error:
                    _complain(f"{job.title}: {error}")
                    is_good = False
            return is_good

        return await shown(tally, do_all)


def _complain(text: str) -> None:
    print(f"zotpy: {text}", file=sys.stderr)  # noqa: T201 - said at the terminal
