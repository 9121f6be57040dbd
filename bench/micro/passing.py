"""Bytes passed on from one socket to the next, with nothing else around it: the least that a pull can cost.

Who sends them and who takes them are processes of their own, so that only what passes them on is measured.
"""

import fcntl
import multiprocessing
import os
import socket
from collections.abc import Callable

from bench.micro.timing import Micro

CALL_BYTES = 64 << 20
SENT_BYTES = 128 << 10
SMALL_BYTES, LARGE_BYTES = 32 << 10, 1 << 20

Pass = Callable[[socket.socket, socket.socket], object]


def micros() -> list[Micro]:
    """Return what is measured here."""
    return [
        _micro("recv and send, 32 KiB", lambda source, sink: _copied(source, sink, SMALL_BYTES)),
        _micro("recv and send, 1 MiB", lambda source, sink: _copied(source, sink, LARGE_BYTES)),
        _micro("recv_into one buffer and send, 1 MiB", _through_a_buffer),
        _micro("splice, 1 MiB", _spliced),
    ]


def _micro(name: str, run: Pass) -> Micro:
    processes = multiprocessing.get_context("fork")
    source, source_far = _connected()
    sink, sink_far = _connected()
    for work, far in ((_send_for_ever, source_far), (_take_for_ever, sink_far)):
        processes.Process(target=work, args=(far,), daemon=True).start()
    return Micro(name, lambda: run(source, sink), CALL_BYTES)


def _copied(source: socket.socket, sink: socket.socket, most_bytes: int) -> None:
    left = CALL_BYTES
    while left:
        piece = source.recv(min(left, most_bytes))
        sink.sendall(piece)
        left -= len(piece)


def _through_a_buffer(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(LARGE_BYTES))
    left = CALL_BYTES
    while left:
        count = source.recv_into(buffer, min(left, LARGE_BYTES))
        sink.sendall(buffer[:count])
        left -= count


def _spliced(source: socket.socket, sink: socket.socket) -> None:
    pipe_out, pipe_in = os.pipe()
    try:
        fcntl.fcntl(pipe_in, fcntl.F_SETPIPE_SZ, LARGE_BYTES)
        left = CALL_BYTES
        while left:
            held = os.splice(source.fileno(), pipe_in, min(left, LARGE_BYTES), flags=os.SPLICE_F_NONBLOCK)
            left -= held
            while held:
                held -= os.splice(pipe_out, sink.fileno(), held)
    finally:
        os.close(pipe_in)
        os.close(pipe_out)


def _send_for_ever(to: socket.socket) -> None:
    block = bytes(SENT_BYTES)
    while True:
        to.sendall(block)


def _take_for_ever(source: socket.socket) -> None:
    buffer = bytearray(LARGE_BYTES)
    while source.recv_into(buffer):
        pass


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far
