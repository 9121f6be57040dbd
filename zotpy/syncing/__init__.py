"""Mirrored registries that are copied again and again, by `zotpy sync`: rules of the mirror, and work of imports."""
