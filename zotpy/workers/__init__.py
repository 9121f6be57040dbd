"""Several processes behind one port: a supervisor that serves nothing itself, and workers, each a replica of its own.

The supervisor binds the socket, and every worker accepts from it, so a worker that dies takes no waiting connection
along. Supervisor and worker hold the two ends of a socket pair, the link: the worker's orders come over it, its report
goes back, and its end, for whatever reason, tells each that the other is gone.
"""

from zotpy.workers.supervisor import supervise

__all__ = ["supervise"]
