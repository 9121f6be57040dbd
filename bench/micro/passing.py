"""Bytes passed on from one socket to the next, with nothing else around it: the least that a pull can cost.

The sender and the receiver are processes of their own, so that only the process between them is measured.
"""

import fcntl
import os
import socket
import subprocess
import weakref
from collections.abc import Callable
from functools import partial

from bench.micro.timing import Micro

CALL_BYTES = 64 << 20
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
    return Micro(name, partial(_Ends().run, run), CALL_BYTES)


class _Ends:
    """Who sends and who takes; they begin with the first call, and end when nobody can call again."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        weakref.finalize(self, _end, self._sockets, self._processes)

    def run(self, run: Pass) -> None:
        """Pass bytes on."""
        if not self._sockets:
            for program in (["dd", "if=/dev/zero", "bs=128K"], ["dd", "of=/dev/null", "bs=1M"]):  # sends, takes
                near, far = _connected()
                with far:
                    process = subprocess.Popen(
                        program, stdin=far.fileno(), stdout=far.fileno(), stderr=subprocess.DEVNULL
                    )
                self._sockets.append(near)
                self._processes.append(process)
        run(*self._sockets)


def _end(sockets: list[socket.socket], processes: list[subprocess.Popen[bytes]]) -> None:
    for near in sockets:
        near.close()
    for process in processes:
        process.kill()
        process.wait()


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


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far
