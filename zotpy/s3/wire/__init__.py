"""S3's protocol without I/O: requests, signing, responses, retry decisions."""
