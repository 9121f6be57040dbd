"""Rules with no I/O: names, digests, ranges, manifests, upload state, keys, tokens, errors."""
