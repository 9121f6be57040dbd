"""`python -m zotpy`, and the program `zotpy`."""

import sys

from zotpy.garbage import collect_late, collect_no_more

collect_late()

from zotpy import cli  # noqa: E402 - imports are nearly all that a start does
from zotpy.commands.output import with_output  # noqa: E402


def main() -> int:
    """Run one command, and return the exit code."""
    try:
        return with_output(cli.main)
    finally:
        collect_no_more()


if __name__ == "__main__":
    sys.exit(main())
