"""zotpy's own S3 client over httpx on trio: few calls, large bodies without copies, bounded retries."""
