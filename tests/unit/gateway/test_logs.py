"""Logs of several processes into one place, as the workers of an edge write them."""

import os
import socket
import subprocess
import sys
from typing import Final

import orjson
import pytest

LINES: Final = 200
LONG: Final = 20_000  # longer than the buffers on the way
WRITER = f"""
import structlog
from gateway import logs

logs.configure(level="info", form="json")
for number in range({LINES}):
    structlog.get_logger().info("counted", number=number, text="x" * ({LONG} if number % 50 == 0 else 100))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_each_line_of_each_process_is_one_write(unbuffered: str) -> None:
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # it keeps writes apart
    with reading:
        with writing:
            environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
            command, out = [sys.executable, "-c", WRITER], writing.fileno()
            writers = [subprocess.Popen(command, stdout=out, env=environment) for _ in range(2)]
        reading.settimeout(30)
        lines = list(iter(lambda: reading.recv(2 * LONG), b""))
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert all(line.endswith(b"\n") for line in lines)
    assert sorted(orjson.loads(line)["number"] for line in lines) == sorted([*range(LINES), *range(LINES)])
