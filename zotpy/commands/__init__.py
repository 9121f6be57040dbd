"""The commands that look after a bucket beside its replicas. Each module is one, with its arguments and its texts."""
