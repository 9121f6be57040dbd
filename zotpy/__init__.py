"""zotpy: an OCI distribution registry of identical, stateless replicas on one S3 bucket."""
