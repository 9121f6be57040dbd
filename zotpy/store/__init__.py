"""The small interface the registry needs of a store, and its forms: S3, memory, and wrappers."""
