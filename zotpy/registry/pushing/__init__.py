"""The inside of an upload: from the requests of a client to the blob that a lease names."""
