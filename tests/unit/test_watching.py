from __future__ import annotations

from typing import TYPE_CHECKING

from zotpy.watching import Watched

if TYPE_CHECKING:
    from pathlib import Path


class Text(Watched[str]):
    """A text, and what was told of it."""

    def __init__(self, file: Path) -> None:
        """Read it."""
        self.file = file
        self.told: list[str] = []
        self.leaves = False
        super().__init__([file], self._text)

    def on_renewed(self) -> None:
        """Note it."""
        self.told.append(self.latest)

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Note it."""
        self.told.append(type(error).__name__)

    def _text(self) -> str:
        if self.leaves:
            self.file.unlink(missing_ok=True)
        return self.file.read_text()


async def test_a_file_that_goes_between_the_look_and_the_reading_is_told_of_once(tmp_path: Path) -> None:
    """However often it is looked for; and what comes back is read."""
    file = tmp_path / "text"
    file.write_text("first")
    text = Text(file)
    file.write_text("another one")
    text.leaves = True
    for _ in range(3):
        await text.look()
    assert (text.told, text.latest) == (["FileNotFoundError"], "first")
    text.leaves = False
    file.write_text("back")
    for _ in range(2):
        await text.look()
    assert text.told == ["FileNotFoundError", "back"]
