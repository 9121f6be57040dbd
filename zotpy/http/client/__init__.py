"""The client's side of HTTP/1.1: connections to the store and to other registries, with a C parser for answers."""
