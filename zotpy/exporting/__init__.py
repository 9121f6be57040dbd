"""Writing repositories into OCI layouts, for a machine without a network or for another registry."""
