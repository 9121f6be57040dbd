"""What the system allows a replica."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

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


_FAULTS_OF_A_SECOND_PUSH = """
import resource, sys
from zotpy.startup import keep_freed

def push():
    return [b"-" * (1 << 20) for _ in range(24)]

if sys.argv[1] == "kept":
    keep_freed(512 << 20)
push()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
push()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such setting")
def test_the_parts_of_the_next_push_find_the_memory_of_the_last() -> None:
    """24 MiB are 6,144 pages, each of which costs a page fault if the system has to give it again."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def faults(what: str, **more: str) -> int:
        command = [sys.executable, "-c", _FAULTS_OF_A_SECOND_PUSH, what]
        return int(subprocess.check_output(command, env={**environment, **more}))

    assert faults("kept") < 100
    assert faults("as it is") > 5000
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 5000
