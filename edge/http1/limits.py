"""The bounds of one listener, with the relations between them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take: seconds, bytes and connections. Raises ValueError when they contradict."""

    connections: int = 20_000
    head_s: float = 10.0
    """From the first byte of a head to its last."""
    idle_s: float = 75.0
    """Between two requests of a connection."""
    stall_s: float = 20.0
    """For a client that takes no more of its answer, or sends less of its body than `body_bytes_min`."""
    body_bytes_min: int = 20 * 1024
    """So much of a body, or its end, comes within `stall_s` of waiting for it."""
    linger_s: float = 2.0
    """So long the rest of what was not read is thrown away, that its sender sees the answer."""
    received_bytes: int = 256 * 1024
    """Held of what a client sent and nobody has taken."""
    drain_s: float = 20.0
    """At the end, for requests under way."""
    late_s: float = 0.25
    """At the end, for a request that is on its way to a connection that waits for one."""
    look_s: float = 0.5
    """How often connections are looked at."""

    def __post_init__(self) -> None:
        if min(self.connections, self.received_bytes, self.body_bytes_min) < 1 or self.look_s <= 0:
            raise ValueError("connections, received_bytes, body_bytes_min and look_s must be more than 0")
        if not self.look_s < self.linger_s < self.head_s <= self.idle_s or self.stall_s > self.drain_s:
            raise ValueError("look_s < linger_s < head_s <= idle_s and stall_s <= drain_s must hold")
