"""Several processes behind one port: a supervisor that serves nothing itself, and workers, each a replica of its own.

The supervisor binds the socket, and every worker accepts from it, so no waiting connection is lost if a worker dies.
Supervisor and worker hold the two ends of a socket pair, the *link*. The worker's orders come over it, and its report
goes back. If the link ends, each knows that the other has ended.
"""

from zotpy.workers.supervisor import supervise

__all__ = ["supervise"]
