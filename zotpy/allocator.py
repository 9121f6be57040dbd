"""How glibc's allocator keeps the memory of bodies for the next ones: malloc(3), mallopt(3), madvise(2).

Parts of pushes and the buffers of pulls (`zotpy.http.slabs`) are blocks of its heap. So what a push has freed is there
for a pull, and a replica holds as much memory as it used at once, not the sum of what each has used.
"""

import ctypes
import os

MOST_KEPT_BYTES = 128 * 1024 * 1024
"""How much freed memory a process keeps, for the next bodies; less if its memory budget is small."""
MAPPED_BYTES = 5 * 1024 * 1024
"""A block of this length or more is mapped by itself: no slab is that long (`zotpy.http.slabs`), and no read. glibc
would find a length by itself."""
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""The numbers of mallopt(3)."""
_USUAL_TOP_PAD_BYTES = 128 * 1024
_HEAD_BYTES = 64
"""More than glibc adds to a block."""
_HUGE_PAGES = 14
"""`MADV_HUGEPAGE`."""


def keep_freed(budget_bytes: int) -> None:
    """Let glibc keep up to a quarter of the budget of what was freed, unless the environment says how much.

    By default it gives back what is free beyond some MiB at the end of its memory. The parts of the next push then cost
    a page fault for each 4 KiB: 0.2 to 0.3 CPU s per GiB. Other libraries have other rules, which stay.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    kept_bytes = min(MOST_KEPT_BYTES, budget_bytes // 4)
    libc.mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
    libc.mallopt(_TRIM_THRESHOLD, kept_bytes)
    if (size_bytes := kept_bytes - 2 * MAPPED_BYTES) > 0:  # what is free behind it must not reach the threshold
        _grow_in_huge_pages(libc, size_bytes)


def _grow_in_huge_pages(libc: ctypes.CDLL, size_bytes: int) -> None:
    """Let the next `size_bytes` of the heap be huge pages, which come with the first byte that is written to each.

    A copy then looks up fewer pages. Without huge pages, or if the heap cannot grow, nothing changes.
    """
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    libc.sbrk.argtypes = [ctypes.c_ssize_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.sbrk(0)
    libc.mallopt(_TOP_PAD, size_bytes)
    block = libc.malloc(MAPPED_BYTES - _HEAD_BYTES)
    libc.mallopt(_TOP_PAD, _USUAL_TOP_PAD_BYTES)
    if (grown_bytes := libc.sbrk(0) - start) >= size_bytes:
        libc.madvise(start, grown_bytes, _HUGE_PAGES)
    libc.free(block)
