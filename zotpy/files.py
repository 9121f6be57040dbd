"""Files that people write, such as a configuration, users or keys: read whole, and bounded."""

from pathlib import Path

from zotpy.core.units import KIB, MIB


def read_bounded(file: Path, most_bytes: int, advice: str = "") -> bytes:
    """Read a file, which may be a pipe. Raises `OSError`, and `ValueError` with the advice if it is longer."""
    with file.open("rb") as opened:
        content = opened.read(most_bytes + 1)
    if len(content) > most_bytes:
        length = f"{most_bytes // MIB} MiB" if most_bytes % MIB == 0 else f"{most_bytes // KIB} KiB"
        msg = f"the file is longer than {length}{advice and ': '}{advice}"
        raise ValueError(msg)
    return content
