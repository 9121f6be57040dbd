"""A proxy between a replica and its S3 service: it makes the way long and narrow, and it makes the service fail.

Heads are read and passed on as they came, so that signatures hold; bodies go by in large reads, unseen. Each connection
of a client has one of its own to the service.
"""

from tests.proxy.faults import Drop, Fault, Flip, Reply, Side, Stall
from tests.proxy.proxy import StoreProxy
from tests.proxy.requests import Request

__all__ = ["Drop", "Fault", "Flip", "Reply", "Request", "Side", "Stall", "StoreProxy"]
