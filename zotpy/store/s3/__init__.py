"""The store on an S3 service: each operation is one S3 call."""

from zotpy.store.s3.s3_store import S3Store

__all__ = ["S3Store"]
