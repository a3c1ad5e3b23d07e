"""Finds, before anything is started, every port that could not be had."""

import errno
import socket
from collections import Counter
from collections.abc import Iterable

from gateway.local.errors import PortsTaken, PortUse

LOOPBACK = "127.0.0.1"


def require_free(uses: Iterable[PortUse]) -> None:
    """Raises PortsTaken naming every port that another program has, or that two uses share."""
    uses = tuple(uses)
    count = Counter(use.port for use in uses)
    refused = [use for use in uses if count[use.port] > 1 or is_taken(use.port)]
    if refused:
        raise PortsTaken(refused)


def is_taken(port: int) -> bool:
    """Whether binding `port` on loopback fails because something listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without this, connections that are just ending would count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as exc:
            return exc.errno in (errno.EADDRINUSE, errno.EACCES)
    return False
