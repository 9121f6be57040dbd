"""How a call to S3 can fail."""


class S3Error(Exception):
    """S3 did not do what was asked. `status` and `code` are those of its last answer; 0 and empty without an answer."""

    status = 0
    code = ""


class S3Refused(S3Error):
    """S3 answered with an error that sending again does not cure."""

    def __init__(self, operation: str, status: int, code: str, reason: str = "") -> None:
        said = f" ({reason})" if reason else ""
        super().__init__(f"{operation}: the store answered {status} {code}".rstrip() + said)
        self.operation = operation
        self.status = status
        self.code = code


class AmbiguousRefusal(S3Refused):
    """S3 refused an attempt after an earlier one of the same call whose outcome nobody knows."""


class S3Unavailable(S3Error):
    """S3 did not answer, or only with passing errors, until attempts or time ran out."""

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
