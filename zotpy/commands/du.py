"""`zotpy du`: how much space the registry uses, by repository."""

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING

from zotpy.commands.arguments import add_bucket_arguments

if TYPE_CHECKING:
    from zotpy.inspection.usage import Usage
    from zotpy.settings import Settings

_DESCRIPTION = """Show how much space each repository uses, and all of them together, while replicas serve.

`logical` is the space that a repository would use if it shared nothing with others. `exclusive` is the space that its
deletion alone would free. Content that repositories share is stored once. The command only lists objects; it does not
read them.

exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 130 stopped by Ctrl-C, 143 stopped by SIGTERM
"""


def add_du(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "du", help="show how much space each repository uses", description=_DESCRIPTION, formatter_class=raw
    )
    add_bucket_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.commands.running import run_told  # noqa: PLC0415 - what `--help` does without
    from zotpy.commands.shared import complain, read_settings  # noqa: PLC0415 - the same

    settings = read_settings(options, {})
    usage, stopped = run_told(
        partial(_measure, settings), lambda _: None, complain, "run it again, and it shows all of it"
    )
    if usage is None:
        return stopped or 1
    if options.json:
        print(json.dumps(usage.as_dict(), indent=2))  # noqa: T201 - said to the person at the terminal
    else:
        _tell(usage)
    return 0


async def _measure(settings: "Settings") -> "Usage":
    from zotpy.commands.shared import Watched, open_bucket  # noqa: PLC0415
    from zotpy.inspection.usage import measure  # noqa: PLC0415

    async with open_bucket(settings) as store:
        with Watched() as watched:
            return await measure(store, watched.begin("usage"))


def _tell(usage: "Usage") -> None:
    """Print a table, the largest repository first."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from zotpy.commands.shared import size  # noqa: PLC0415

    table = Table(box=None)
    table.add_column("repository")
    for name in ("tags", "manifests", "blobs", "logical", "exclusive"):
        table.add_column(name, justify="right")
    for each in sorted(usage.repositories, key=lambda one: (-one.logical_bytes, one.name)):
        counts = (str(each.tags), str(each.manifests), str(each.blobs))
        table.add_row(each.name, *counts, size(each.logical_bytes), size(each.exclusive_bytes))
    console = Console()
    console.print(table)
    total = f"{size(usage.logical_bytes)} logical, {size(usage.stored_bytes)} stored"
    garbage = (
        f", {size(usage.unnamed_bytes)} of it named by nothing: zotpy gc deletes it" if usage.unnamed_bytes else ""
    )
    console.print(f"{len(usage.repositories)} repositories, {total}{garbage}", highlight=False)
