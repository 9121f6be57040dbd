"""How a call to S3 can fail."""


class S3Error(Exception):
    """S3 did not do what was asked."""


class S3Refused(S3Error):
    """S3 answered with an error that sending again does not cure."""

    def __init__(self, operation: str, status: int, code: str) -> None:
        super().__init__(f"{operation}: the store answered {status} {code}".rstrip())
        self.operation = operation
        self.status = status
        self.code = code


class S3Unavailable(S3Error):
    """S3 did not answer, or only with passing errors, until attempts or time ran out."""
