"""What one `Edge` may hold and wait for; a listener's bounds are in http1/limits, the origin's in upstream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one `Edge`. Bytes, counts and seconds. Raises ValueError when they contradict."""

    store_bytes: int = 256 * 1024 * 1024
    store_entries: int = 100_000
    object_bytes: int = 4 * 1024 * 1024
    """A larger answer goes through in pieces and is not kept."""
    variants: int = 32
    """Answers of one url that differ by Vary; the one not used for longest makes room."""
    url_bytes: int = 8_192
    header_bytes: int = 32 * 1024
    header_count: int = 100
    waiting: int = 20_000
    """Requests that wait for one answer of the origin; a further one is told to come again."""
    wait_s: float = 15.0
    """For an answer that others wait for too."""
    patience_s: float = 2.0
    """For the origin, where something can be said without it."""
    apart_s: float = 5.0
    """Hit-for-pass: so long after an answer that could not be shared, requests of its url do not wait for one another
    but go to the origin side by side."""
    apart_urls: int = 10_000
    rest_s: float = 1.0
    """So long after a failure the origin is not asked again for what can be answered stale."""
    if_error_s: float = 3_600.0
    """How long past its freshness an answer may be used while the origin cannot be reached, where it says nothing."""
    retry_after_s: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.object_bytes <= self.store_bytes:
            raise ValueError("object_bytes must be more than 0 and at most store_bytes")
        if min(self.store_entries, self.variants, self.url_bytes, self.header_bytes, self.header_count) < 1:
            raise ValueError("store_entries, variants, url_bytes, header_bytes and header_count must be at least 1")
        if (
            min(self.waiting, self.apart_urls, self.wait_s, self.patience_s, self.apart_s, self.rest_s, self.if_error_s)
            < 0
        ):
            raise ValueError("no bound may be less than 0")
