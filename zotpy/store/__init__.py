"""The small interface to a store that the registry needs, and its forms: S3, memory, and wrappers."""
