"""Memory that a push or a pull has freed stays for the next one, in huge pages."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zotpy.allocator import MAPPED_BYTES, MOST_KEPT_BYTES

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such settings")


def printed_by(program: str, argument: object, **more: str) -> str:
    """Run a program in a process of its own, whose memory nothing else has used, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return subprocess.check_output(
        [sys.executable, "-c", program, str(argument)], env={**environment, **more}, text=True
    )


_FAULTS_OF_A_SECOND_PUSH = """
import resource, sys
from zotpy.allocator import keep_freed

def push():
    return [b"-" * (1 << 20) for _ in range(24)]

if sys.argv[1] == "kept":
    keep_freed(512 << 20)
push()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
push()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_parts_of_the_next_push_find_the_memory_of_the_last() -> None:
    """24 MiB are 6,144 pages, each of which costs a page fault if the system has to give it again."""

    def faults(what: str, **more: str) -> int:
        return int(printed_by(_FAULTS_OF_A_SECOND_PUSH, what, **more))

    assert faults("kept") < 100
    assert faults("as it is") > 5000
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072") > 5000


_GROWTH_OF_A_PULL = """
import sys
from pathlib import Path
from zotpy.allocator import keep_freed
from zotpy.http.slabs import PAGE_BYTES, SLAB_BYTES, Slabs

def peak_kib():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

def push(mib):
    return [b"-" * (2 << 20) for _ in range(mib // 2)]

keep_freed(512 << 20)
push(int(sys.argv[1]))
before = peak_kib()
slabs = Slabs()
held = [slabs.take() for _ in range(11)]
for view in held:
    view[::PAGE_BYTES] = bytes(SLAB_BYTES // PAGE_BYTES)
print((peak_kib() - before) // 1024)
"""


@pytest.mark.parametrize(("pushed_mib", "least_mib", "most_mib"), [(0, 40, 46), (48, 0, 4)])
def test_a_pull_uses_the_memory_that_a_push_has_freed(pushed_mib: int, least_mib: int, most_mib: int) -> None:
    """The slabs of a pull hold 44 MiB: the process never has more than what a push before it needed."""
    assert least_mib <= int(printed_by(_GROWTH_OF_A_PULL, pushed_mib)) <= most_mib


_MAP_OF_MEMORY = """
import sys
from pathlib import Path
from zotpy.allocator import keep_freed

keep_freed(int(sys.argv[1]))
print(Path("/proc/self/smaps").read_text())
"""


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the system has no transparent huge pages"
)
@pytest.mark.parametrize(
    ("budget_bytes", "kept_bytes"), [(4 << 30, MOST_KEPT_BYTES), (512 << 20, MOST_KEPT_BYTES), (64 << 20, 16 << 20)]
)
def test_what_is_kept_is_in_huge_pages(budget_bytes: int, kept_bytes: int) -> None:
    """The last bytes are not: with them the free end of the heap would be so long that it is given back."""
    heaps = re.findall(r"\[heap\]\nSize: +(\d+) kB\n(?:.+\n)*?VmFlags: (.*)", printed_by(_MAP_OF_MEMORY, budget_bytes))
    huge_bytes = sum(int(kib) * 1024 for kib, flags in heaps if "hg" in flags.split())
    assert kept_bytes - 2 * MAPPED_BYTES <= huge_bytes <= kept_bytes
