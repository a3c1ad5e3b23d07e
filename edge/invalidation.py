"""What a write makes obsolete (RFC 9111 4.4, RFC 9875), and what was purged while an answer was under way."""

from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Final
from urllib.parse import urljoin, urlsplit

from edge.cache import Entry, Purge
from edge.fields import indexed, listed
from edge.messages import Response

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
REMEMBERED_MAX: Final = 1000
GROUPS_MAX: Final = 32
_CHARS_MAX: Final = 8192


def obsolete(url: str, asked: Mapping[str, str], response: Response) -> list[Purge]:
    """What an answer to an unsafe method makes obsolete: its url, those it names of the same host, and groups.

    Nothing, if it failed. `asked` are the fields of the request by lower-case name.
    """
    if not 200 <= response.status < 400:
        return []
    fields = indexed(response.headers)
    urls = {url: None}
    for name in ("location", "content-location"):
        named = _of_this_host(url, fields.get(name, ""), asked.get("host", ""))
        if named is not None:
            urls[named] = None
    groups = [item.strip('"') for item in listed(fields.get("cache-group-invalidation")) if item.startswith('"')]
    return [
        *(Purge(url=url, hard=True) for url in urls),
        *(Purge(group=group, hard=True) for group in groups[:GROUPS_MAX]),
    ]


def _of_this_host(url: str, reference: str, host: str) -> str | None:
    """A reference as path and query, if it leads to the host that was asked; None otherwise."""
    if not reference or len(reference) > _CHARS_MAX:
        return None
    try:
        target = urlsplit(urljoin(f"http://{host or 'x'}{url}", reference))
    except ValueError:
        return None
    if target.netloc.lower() != (host or "x").lower():
        return None
    return f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"


class Recent:
    """The purges since the oldest answer still under way was asked for.

    An answer that was asked for before a purge tells of a time before it, and must not be kept after it.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._newest = 0
        self._forgotten = 0
        self._marks = count()
        self._since: dict[int, int] = {}
        self._purges: deque[tuple[int, Purge]] = deque()

    def opened(self) -> int:
        """An answer is asked for; what `meets` and `closed` are to be called with."""
        mark = next(self._marks)
        self._since[mark] = self._newest
        return mark

    def closed(self, mark: int) -> None:
        """It is there, or will never be."""
        del self._since[mark]
        if not self._since:
            self._purges.clear()

    def add(self, purge: Purge) -> None:
        """A purge was done."""
        self._newest = next(self._numbers)
        if not self._since:
            return
        self._purges.append((self._newest, purge))
        if len(self._purges) > REMEMBERED_MAX:
            self._forgotten = self._purges.popleft()[0]

    def meets(self, mark: int, key: str, entry: Entry) -> bool:
        """Whether a purge since then is about this entry; taken to be so when it is no longer known."""
        since = self._since[mark]
        if self._forgotten > since:
            return True
        return any(number > since and purge.meets(key, entry) for number, purge in self._purges)
