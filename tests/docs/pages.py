"""The commands of the README and of the pages in `docs`, as a reader would copy them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
PAGES = ("README.md", "findings/README.md", *sorted(f"docs/{page.name}" for page in (CHECKOUT / "docs").glob("*.md")))
SHELLS = {"", "sh", "bash", "shell", "console"}
_COMMENT = re.compile(r"(?:^|\s\s+)#.*$")


@dataclass(frozen=True)
class Block:
    """A piece of code in a page."""

    page: str
    line: int
    text: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]

    def commands(self) -> list[str]:
        """Return its commands: no comments, nothing that a session prints; a heredoc belongs to its command."""
        lines = self.text.split("\n")
        if lines[0].startswith("$ "):
            lines = list(_typed(lines))
        return list(_joined(lines))


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page that are indented, or fenced and of no other language than the shell's."""
    lines = (CHECKOUT / page).read_text().split("\n")
    at = 0
    while at < len(lines):
        end = at + 1
        if fence := re.fullmatch(r"\s*```(\w*)", lines[at]):
            while lines[end].strip() != "```":
                end += 1
            if fence[1] in SHELLS:
                yield Block(page, at + 2, "\n".join(lines[at + 1 : end]))
            end += 1
        elif lines[at].startswith("    ") and not lines[at - 1].strip():
            while end < len(lines) and (lines[end].startswith("    ") or _goes_on(lines, end)):
                end += 1
            yield Block(page, at + 1, "\n".join(line[4:] for line in lines[at:end]))
        at = end


def _goes_on(lines: list[str], at: int) -> bool:
    return not lines[at].strip() and at + 1 < len(lines) and lines[at + 1].startswith("    ")


def _typed(lines: list[str]) -> Iterator[str]:
    """Yield what follows a prompt, and the lines that go on with it."""
    goes_on = False
    for line in lines:
        if goes_on or line.startswith("$ "):
            yield line.removeprefix("$ ")
            goes_on = line.endswith("\\")


def _joined(lines: list[str]) -> Iterator[str]:
    """Yield whole commands: a line that ends in a backslash goes on, and one with a heredoc goes on to its end."""
    command, until = "", None
    for line in lines:
        if until is not None:
            command += f"\n{line}"
            if line == until:
                yield command
                command, until = "", None
            continue
        command += _COMMENT.sub("", line).rstrip()
        if command.endswith("\\"):
            command = command[:-1].rstrip() + " "
            continue
        command = re.sub(r"(?<=\S)\s{2,}", " ", command)
        if heredoc := re.search(r"<<'?(\w+)'?$", command):
            until = heredoc[1]
        elif command:
            yield command
            command = ""
