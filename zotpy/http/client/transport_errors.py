"""Why a request got no answer, or not all of it. The names stand in messages and logs, and decide about a retry."""


class TransportError(Exception):
    """No answer came, or it broke off. The subclass says in which way."""


class ConnectError(TransportError):
    """Nobody listens, the name is unknown, or TLS failed."""


class ConnectTimeout(TransportError):
    """No connection came about in time."""


class ProxyError(TransportError):
    """The proxy of the environment did not lead to the service."""


class ReadError(TransportError):
    """The connection broke while the answer was read."""


class ReadTimeout(TransportError):
    """The service was silent for too long."""


class WriteError(TransportError):
    """The connection broke while the request was sent."""


class WriteTimeout(TransportError):
    """The service took no bytes for too long."""


class LocalProtocolError(TransportError):
    """The request cannot be written as HTTP."""


class RemoteProtocolError(TransportError):
    """What the service answered is no HTTP, or ends too early."""
