"""Which operation of S3 a request is, as its first line says (path style), and as S3's bills name it."""

from collections.abc import Mapping

COPY_HEADER = b"\r\nx-amz-copy-source:"
OTHER = "Other"
_BY_QUERY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "PUT": (("partNumber", "UploadPart"),),
    "POST": (
        ("uploads", "CreateMultipartUpload"),
        ("uploadId", "CompleteMultipartUpload"),
        ("delete", "DeleteObjects"),
    ),
    "GET": (("uploads", "ListMultipartUploads"), ("uploadId", "ListParts"), ("list-type", "ListObjects")),
    "DELETE": (("uploadId", "AbortMultipartUpload"),),
}
"""For each method, which operation a name in the query stands for. The first that fits counts."""
_OF_OBJECT = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_OF_BUCKET = {"PUT": "CreateBucket", "GET": "ListObjects", "HEAD": "HeadBucket"}


def operation_of(head: bytes) -> str:
    """Return the operation of a request whose first bytes these are. What is none of S3's is `OTHER`."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, target, version
        return OTHER
    method, target, _ = words
    path, _, query = target.partition("?")
    names = {field.partition("=")[0] for field in query.split("&")}
    for name, operation in _BY_QUERY.get(method, ()):
        if name in names:
            return f"{operation}Copy" if operation == "UploadPart" and _is_copy(head) else operation
    _, _, key = path.strip("/").partition("/")
    if method == "PUT" and key and _is_copy(head):
        return "CopyObject"
    return (_OF_OBJECT if key else _OF_BUCKET).get(method, OTHER)


def _is_copy(head: bytes) -> bool:
    return COPY_HEADER in head.partition(b"\r\n\r\n")[0].lower()
