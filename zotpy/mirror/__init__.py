"""Other registries, mirrored on demand: what a client asks for is fetched once, kept, and served from then on."""
