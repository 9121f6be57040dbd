"""The byte cache of a replica: bytes of large blobs on its own disk, filled by the first pull (`docs/design.md`)."""
