"""A reader process: reads whole files as fast as it can, one pass over its list for each line that comes on stdin.

    python -I -S reader.py ROOT < commands       first line: the file of paths; each further line: one pass

Prints a line when ready, and for each pass "start_ns end_ns bytes" by the monotonic clock, which all processes share.
Run as a script without site packages, so that the same lean process reads from every system.
"""

import os
import sys
import time

BUFFER_BYTES = 1 << 20


def read_all(paths: list[bytes], buffer: bytearray) -> int:
    """Open, read to the end and close each file; returns the bytes read."""
    size_bytes = 0
    buffers = [buffer]
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        while (count := os.readv(fd, buffers)) == BUFFER_BYTES:
            size_bytes += count
        os.close(fd)
        size_bytes += count
    return size_bytes


def main() -> None:
    root = os.fsencode(sys.argv[1])
    commands = sys.stdin.buffer
    with open(commands.readline().strip(), "rb") as names:
        paths = [root + b"/" + name.rstrip(b"\n") for name in names]
    buffer = bytearray(BUFFER_BYTES)
    print("ready", flush=True)
    for _ in iter(commands.readline, b""):
        start_ns = time.monotonic_ns()
        size_bytes = read_all(paths, buffer)
        print(start_ns, time.monotonic_ns(), size_bytes, flush=True)


if __name__ == "__main__":
    main()
