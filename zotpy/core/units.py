"""Lengths in bytes, by their names."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def size_text(size_bytes: int) -> str:
    """Write a size as settings have it, in the largest unit that gives a whole number: `8MiB`."""
    units = (("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
    return next((f"{size_bytes // unit}{name}" for name, unit in units if size_bytes % unit == 0), str(size_bytes))
