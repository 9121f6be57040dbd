"""Become another program that ends when the parent does: `python child.py PARENT_PID PROGRAM [ARGUMENT ...]`.

Only our user can use its files and sockets, whatever the umask of the process that started us.

This is a program of its own and not a `preexec_fn`, because that runs Python between fork and exec, which may deadlock
if the parent has threads. Linux sends the signal when the *thread* that started the child ends, not the process: start
it from the main thread.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arrange for the end, then become the program.

    On other systems than Linux the next start ends what was left over.
    """
    parent, program = int(sys.argv[1]), sys.argv[2]
    os.umask(0o077)  # some of its sockets lie in /tmp
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended before we asked for its signal
        sys.exit("the parent has ended")
    os.execv(program, sys.argv[2:])  # noqa: S606 - the program our parent names


if __name__ == "__main__":
    main()
