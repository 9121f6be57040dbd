"""The commands that look after a bucket beside its replicas: each module is one, with its arguments and its words."""
