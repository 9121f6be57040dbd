"""The file of users: what its lines mean, and how changes are seen."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from tests.unit.auth.hashed import BCRYPT, HASHES
from zotpy.auth.htpasswd import LARGEST_FILE_BYTES, Htpasswd, Users
from zotpy.bell import Bell
from zotpy.watching import LOOK_INTERVAL_S

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

OTHER = HASHES["SHA-256-crypt"]
DEADLINE_S = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with one user."""
    written = tmp_path / "htpasswd"
    written.write_text(f"alice:{BCRYPT}\n")
    return written


def change(file: Path, content: str | bytes | None) -> None:
    """Write the file anew, or delete it."""
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_lines_without_a_colon_mean_nothing_and_the_last_line_of_a_user_counts() -> None:
    """The file is read as zot reads it."""
    users = Users.parse(
        f"\n# a note\nalice\nalice:{OTHER}\n:{BCRYPT}\r\nbob:x\n  bob:{BCRYPT}  \nalice:{BCRYPT}\r\neve:x\n"
    )
    assert {name: read.text for name, read in users.hashes.items()} == {"alice": BCRYPT, "bob": BCRYPT}
    assert set(users.unusable) == {"eve"}


def test_a_line_that_was_taken_out_by_a_sign_lets_nobody_in() -> None:
    """`#` begins a comment, as for Apache. Otherwise alice could still log in, as the user `#alice`."""
    users = Users.parse(f"#alice:{BCRYPT}\n  # bob:{BCRYPT}\ncarol:{BCRYPT}\n")
    assert (set(users.hashes), users.unusable) == ({"carol"}, {})


def test_an_unusable_last_line_takes_the_users_login_away() -> None:
    """The line that counts is the last one, also if nobody can log in with it."""
    users = Users.parse(f"alice:{BCRYPT}\nalice:plain\n")
    assert (users.hashes, set(users.unusable)) == ({}, {"alice"})


async def test_users_who_cannot_log_in_are_logged_without_their_hashes(file: Path) -> None:
    """The log names them with the reason. It has nothing of what the file says about them."""
    change(file, "alice:hush-hush\n")
    with capture_logs() as logs:
        Htpasswd(file)
    assert [(line["event"], line.get("user")) for line in logs] == [
        ("htpasswd_user_refused", "alice"),
        ("htpasswd_has_no_users", None),
    ]
    assert "hush" not in str(logs)


async def test_a_changed_file_counts(file: Path, nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """Its users may log in without a restart, within seconds."""
    htpasswd = Htpasswd(file)
    nursery.start_soon(htpasswd.keep_current, Bell())
    await wait_all_tasks_blocked()
    change(file, f"bob:{BCRYPT}\n")
    mock_clock.jump(LOOK_INTERVAL_S)
    mock_clock.rate = 1.0
    with trio.fail_after(DEADLINE_S):
        while set(htpasswd.users.hashes) != {"bob"}:  # noqa: ASYNC110 - nobody tells us
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


async def test_a_link_that_kubernetes_swaps_counts(tmp_path: Path) -> None:
    """A mounted Secret is a link to a file below a link to a directory. An update replaces the second link alone."""
    for version, name in (("1", "alice"), ("2", "bob")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "htpasswd").write_text(f"{name}:{BCRYPT}\n")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "htpasswd").symlink_to("..data/htpasswd")
    htpasswd = Htpasswd(tmp_path / "htpasswd")
    assert set(htpasswd.users.hashes) == {"alice"}
    (tmp_path / "..data_tmp").symlink_to("2")
    os.rename(tmp_path / "..data_tmp", tmp_path / "..data")  # noqa: PTH104 - as kubelet does it
    await htpasswd.look()
    assert set(htpasswd.users.hashes) == {"bob"}


@pytest.mark.parametrize(
    "content", [None, b"\xff:\xfe\n", b"x" * (LARGEST_FILE_BYTES + 1)], ids=["gone", "bytes", "long"]
)
async def test_a_file_that_cannot_be_read_keeps_the_users(file: Path, content: bytes | None) -> None:
    """Nobody is locked out by a mistake. It is logged once, and the next good file counts."""
    htpasswd = Htpasswd(file)
    change(file, content)
    with capture_logs() as logs:
        await htpasswd.look()
        await htpasswd.look()
    assert [line["event"] for line in logs] == ["htpasswd_not_reloaded"]
    assert set(htpasswd.users.hashes) == {"alice"}
    change(file, f"bob:{BCRYPT}\n")
    await htpasswd.look()
    assert set(htpasswd.users.hashes) == {"bob"}


async def test_a_file_that_could_not_be_opened_is_tried_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have had no file handle left. The file has not changed since, and yet it is read; logged once."""
    htpasswd = Htpasswd(file)
    change(file, f"bob:{BCRYPT}\n")
    with capture_logs() as logs, monkeypatch.context() as patched:
        patched.setattr(type(file), "open", full)
        await htpasswd.look()
        await htpasswd.look()
    assert [line["event"] for line in logs] == ["htpasswd_not_reloaded"]
    assert set(htpasswd.users.hashes) == {"alice"}
    await htpasswd.look()
    assert set(htpasswd.users.hashes) == {"bob"}


def full(*_: object, **__: object) -> None:
    """Fail as the system does if a process has opened too many files."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_an_empty_file_lets_nobody_in_and_says_so(file: Path) -> None:
    """It is a good file: whoever emptied it wanted that."""
    htpasswd = Htpasswd(file)
    change(file, "")
    with capture_logs() as logs:
        await htpasswd.look()
    assert htpasswd.users.hashes == {}
    assert [line["event"] for line in logs] == ["htpasswd_reloaded", "htpasswd_has_no_users"]
