"""What is said at the end of a copy."""

import json
import sys

from zotpy.commands.shared import size
from zotpy.importing.tally import Tally


def tell(tally: Tally, *, as_json: bool) -> None:
    """Print what was copied, and what could not be."""
    if as_json:
        print(json.dumps(tally.as_dict(), indent=2))  # noqa: T201 - said at the terminal
        return
    for problem in tally.problems:
        print(f"not copied: {problem}", file=sys.stderr)  # noqa: T201 - the same
    if tally.problems_unnamed:
        print(f"not copied: {tally.problems_unnamed} more", file=sys.stderr)  # noqa: T201 - the same
    tags = f"{tally.tags_copied} tags copied, {tally.tags_unchanged} unchanged"
    tags += f", {tally.tags_kept} kept that were pushed here" if tally.tags_kept else ""
    tags += f", {tally.tags_unsigned} without a signature left out" if tally.tags_unsigned else ""
    blobs = f"{tally.blobs_copied} blobs ({size(tally.bytes_copied)})"
    print(f"{tally.repositories} repositories, {tags}")  # noqa: T201 - the same
    print(f"{tally.manifests_copied} manifests, {tally.referrers_copied} referrers and {blobs} copied")  # noqa: T201
