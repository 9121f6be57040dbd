"""Run a command with the variables of a file that units read: `with_environment.py FILE COMMAND [ARGUMENT ...]`."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path


def variables(text: str) -> dict[str, str]:
    """Return what `EnvironmentFile=` reads: `NAME=value` on each line, quotes taken off; `#` and `;` begin comments."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] not in "#;")
    return {name.strip(): " ".join(shlex.split(value)) for name, is_pair, value in pairs if is_pair}


def main() -> None:
    """Become the command; a file that is not there has no variables."""
    file, command = Path(sys.argv[1]), sys.argv[2:]
    with suppress(FileNotFoundError):
        os.environ.update(variables(file.read_text()))
    os.execv(command[0], command)  # noqa: S606 - the command that was asked for


if __name__ == "__main__":
    main()
