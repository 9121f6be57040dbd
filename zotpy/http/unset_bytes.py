"""Memory of Python's allocator whose bytes are not set: to set them takes half of the time that a copy takes.

It is for bytes that the system is about to receive. Nobody may read a byte that was not received.
"""

import ctypes

_resize = ctypes.pythonapi.PyByteArray_Resize
_resize.argtypes = [ctypes.py_object, ctypes.c_ssize_t]


def give_unset(block: bytearray, size_bytes: int) -> None:
    """Give an empty block its length. Its bytes may be any."""
    _resize(block, size_bytes)
