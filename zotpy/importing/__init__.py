"""Copying repositories into the bucket, from another registry or from OCI layouts, by way of our own use cases.

So every rule of the bucket holds for what is imported: digests are compared, references are checked, immutable tags do
not move. An import can be stopped and begun again: it copies only what is not here yet.
"""
