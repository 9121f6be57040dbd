"""What the system allows a replica."""

from __future__ import annotations

import resource

import pytest

from zotpy.settings import Settings
from zotpy.settings.logins import AuthSettings
from zotpy.startup import MOST_FILES, allow_many_files, announce


@pytest.mark.parametrize("begins_low", [True, False])
def test_as_many_files_are_opened_as_the_system_allows(*, begins_low: bool) -> None:
    """Where a shell or a container begins with few, more are asked for, and never fewer than there were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = before[1] if before[1] != resource.RLIM_INFINITY else MOST_FILES
    low = min(512, most)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low if begins_low else before[0], before[1]))
        allow_many_files()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert now == (max(min(most, MOST_FILES), low if begins_low else before[0]), before[1])


@pytest.mark.parametrize("has_login", [True, False])
def test_a_person_reads_what_to_try(capsys: pytest.CaptureFixture[str], *, has_login: bool) -> None:
    """If callers must log in, that comes first."""
    announce(Settings(auth=AuthSettings(apikey=has_login)), ["http://127.0.0.1:5000"])
    out = capsys.readouterr().out
    assert "zotpy is ready on http://127.0.0.1:5000 (data in " in out
    assert ("docker login 127.0.0.1:5000" in out) == has_login
    assert "docker push 127.0.0.1:5000/IMAGE:latest" in out
